//! Shows a component that is no function at all: it exports an interface that no host knows.

wit_bindgen::generate!({
    inline: "
        package acme:calc@1.0.0;

        interface add {
            add: func(a: u32, b: u32) -> u32;
        }

        world calc {
            export add;
        }
    ",
});

struct Calc;

export!(Calc);

impl exports::acme::calc::add::Guest for Calc {
    fn add(a: u32, b: u32) -> u32 {
        a.wrapping_add(b)
    }
}

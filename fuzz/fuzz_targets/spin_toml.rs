//! Any text as a `spin.toml`: never a panic, and what is accepted has valid routes and survives the wire.
#![no_main]

use gust_types::AppSpec;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match gust_manifest::parse_spin(text, None) {
        Ok((app, _)) => {
            for path in app.routes.iter().filter_map(|r| r.path.as_deref()) {
                gust_types::RoutePattern::parse(path).expect("an accepted route is valid");
            }
            let wire = serde_json::to_string(&app).expect("an app can be sent");
            assert_eq!(serde_json::from_str::<AppSpec>(&wire).expect("and read"), app);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

fn main() {
    println!("cargo::rustc-link-arg-cdylib=--table-base=20000000");
}

fn main() {
    println!("cargo::rustc-link-arg-cdylib=--initial-memory=1073741824");
}

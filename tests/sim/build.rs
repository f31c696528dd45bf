//! Makes the `getrandom` of `src/entropy.rs` visible to code that looks the function up by its name when it runs.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-bins=-Wl,--export-dynamic-symbol=getrandom");
}

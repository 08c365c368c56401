//! The command `proxyfix`.
fn main() {}

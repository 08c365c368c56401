//! The application of the deployments, as a program.

#[cfg(target_os = "linux")]
#[tokio::main]
async fn main() {
    proxyfix_tests::application::main().await;
}

#[cfg(not(target_os = "linux"))]
fn main() {}

//! An axum application behind a real Apache, by every gateway protocol that it speaks.
#![cfg(target_os = "linux")]

use proxyfix_tests::apache::installed;
use proxyfix_tests::application::{Repair, Serve};
use proxyfix_tests::corpus::{Difference, Journey};

const APPLICATION: &str = env!("CARGO_BIN_EXE_application");

async fn assert_same(config: &str, serve: Serve, mount: &str, repair: Repair, known: &[&[Difference]]) {
    let Some(apache) = installed(config) else { return };
    let http = if mount.is_empty() { "proxy-http-root.conf" } else { "proxy-http-prefix.conf" };
    let journey = Journey { config, http, serve, mount, repair, known };
    journey.go(&apache, APPLICATION).await;
}

#[tokio::test]
async fn plain() {
    let repair = Repair::LighttpdCgiRootFix(String::new());
    assert_same("proxy-http-root.conf", Serve::Http, "", repair, &[]).await;
}

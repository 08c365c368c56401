//! An axum application behind a real haproxy, by every gateway protocol that it speaks.
#![cfg(target_os = "linux")]

use proxyfix_tests::application::{Repair, Serve};
use proxyfix_tests::corpus::{Difference, Journey};
use proxyfix_tests::haproxy::installed;

const APPLICATION: &str = env!("CARGO_BIN_EXE_application");

async fn assert_same(config: &str, serve: Serve, mount: &str, repair: Repair, known: &[&[Difference]]) {
    let Some(haproxy) = installed() else { return };
    let journey = Journey { config, http: "http.cfg", serve, mount, repair, known };
    journey.go(&haproxy, APPLICATION).await;
}

#[tokio::test]
async fn plain() {
    assert_same("http.cfg", Serve::Http, "", Repair::LighttpdCgiRootFix(String::new()), &[]).await;
}

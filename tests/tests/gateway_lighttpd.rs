//! An axum application behind a real lighttpd, by every gateway protocol that it speaks.
#![cfg(target_os = "linux")]

use proxyfix_tests::application::{Repair, Serve};
use proxyfix_tests::corpus::{Difference, Journey};
use proxyfix_tests::lighttpd::installed;

const APPLICATION: &str = env!("CARGO_BIN_EXE_application");

async fn assert_same(config: &str, serve: Serve, mount: &str, repair: Repair, known: &[&[Difference]]) {
    let Some(lighttpd) = installed() else { return };
    let journey = Journey { config, http: "http.conf", serve, mount, repair, known };
    journey.go(&lighttpd, APPLICATION).await;
}

#[tokio::test]
async fn plain() {
    assert_same("http.conf", Serve::Http, "", Repair::LighttpdCgiRootFix(String::new()), &[]).await;
}

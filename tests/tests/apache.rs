//! Journeys through a real Apache, with the files of the guide.
#![cfg(target_os = "linux")]

use proxyfix_tests::apache::site;
use proxyfix_tests::client::Client;
use proxyfix_tests::loopback;
use proxyfix_tests::web::Place;

const PROGRAM: &str = env!("CARGO_BIN_EXE_application");

#[tokio::test]
async fn try_http() {
    let Some(site) = site("proxy-http-root.conf") else { return };
    let mut place = Place::new();
    let _app = place.start_http(PROGRAM, "").await;
    let apache = site.start(place, loopback()).await;
    let answer = Client::at(loopback()).get(apache.address(), "/a%2Fb", &["Host: x"]).await;
    panic!("{answer:?}");
}

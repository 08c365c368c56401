//! HAProxy.

use crate::loopback;
use crate::process::session;
use crate::web::{self, Deploy, Place, WebServer};

/// The program, found by [`installed`].
#[derive(Clone, Debug)]
pub struct Program(web::Program);

/// Finds HAProxy; see [`web::installed`].
pub fn installed() -> Option<Program> {
    web::installed(&["haproxy"]).map(Program)
}

impl Deploy for Program {
    async fn deploy(&self, place: Place, name: &str) -> WebServer {
        let command = |place: &Place, listen| {
            let config = place.configure("haproxy", "haproxy.cfg", "haproxy/haproxy.cfg", listen);
            let site = place.configure("haproxy", name, "haproxy/yourapplication.cfg", listen);
            let mut command = session(self.0.path());
            command.args(["-W", "-f"]).arg(config).arg("-f").arg(site);
            command
        };
        self.0.start(place, loopback(), command).await
    }
}

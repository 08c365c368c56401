//! lighttpd.

use crate::loopback;
use crate::process::session;
use crate::web::{self, Deploy, Place, WebServer};

/// The program, found by [`installed`].
#[derive(Clone, Debug)]
pub struct Program(web::Program);

/// Finds lighttpd; see [`web::installed`].
pub fn installed() -> Option<Program> {
    web::installed(&["lighttpd"]).map(Program)
}

impl Deploy for Program {
    async fn deploy(&self, place: Place, name: &str) -> WebServer {
        let command = |place: &Place, listen| {
            place.configure("lighttpd", name, "lighttpd/yourapplication.conf", listen);
            let config = place.configure("lighttpd", "lighttpd.conf", "lighttpd/lighttpd.conf", listen);
            let mut command = session(self.0.path());
            command.args(["-D", "-f"]).arg(config);
            command
        };
        self.0.start(place, loopback(), command).await
    }
}

//! Deployment: none. How to test the fixes of an application without a server.
//!
//! A fix is a value that corrects the head of a request. The function [`fixes`] is what an application
//! wraps around its service; the tests below call the same value, and neither start nor await
//! anything.
//!
//! ```text
//! cargo run  -p proxyfix-examples --bin unit_testing_a_stack   prints heads before and after
//! cargo test -p proxyfix-examples                              runs the tests
//! ```

use http::Request;
use http::request::Parts;
use proxyfix::{Error, Fix, Mount, Origin, Peer, ProxyFix, TrustedProxies};

/// The request comes from the office network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FromTheOffice;

/// Marks requests from the office: a fix of our own, after the proxies have been seen through.
#[derive(Clone, Debug)]
struct MarkTheOffice {
    office: TrustedProxies,
}

impl Fix for MarkTheOffice {
    fn fix(&self, parts: &mut Parts) {
        // Nobody is from the office unless the walk found out who it is.
        let office = parts
            .extensions
            .get::<Origin>()
            .is_some_and(|origin| origin.is_complete_and(|ip| self.office.allows(&Peer::from(ip))));
        if office {
            parts.extensions.insert(FromTheOffice);
        }
    }
}

/// What the application wraps around its service: `proxyfix::layer(fixes()?)`.
fn fixes() -> Result<impl Fix + Clone, Error> {
    let proxies: TrustedProxies = "10.0.0.0/24".parse()?;
    let office: TrustedProxies = "192.0.2.0/24".parse()?;
    Ok((ProxyFix::builder(proxies).host().prefix().build()?, MarkTheOffice { office }))
}

/// The head of `GET /users` as our server receives it.
fn received(peer: &str, headers: &[(&str, &str)]) -> Result<Parts, Box<dyn std::error::Error>> {
    let mut request = Request::get("/users").extension(peer.parse::<Peer>()?);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Ok(request.body(())?.into_parts().0)
}

/// What the application sees of it, in a line.
fn seen(parts: &Parts) -> String {
    let Some(origin) = parts.extensions.get::<Origin>() else { return "no fix ran".to_owned() };
    let client = origin.client().map_or("somebody".to_owned(), |ip| ip.to_string());
    let host = origin.host().map_or("nowhere", |host| host.as_str());
    let prefix = parts.extensions.get::<Mount>().map(|mount| mount.prefix().as_str()).unwrap_or_default();
    let office = if parts.extensions.get() == Some(&FromTheOffice) { ", from the office" } else { "" };
    format!("{client}{office}, at {}://{host}{prefix}{}", origin.scheme(), parts.uri.path())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let fixes = fixes()?;
    let heads: [(&str, &[(&str, &str)]); 4] = [
        (
            "10.0.0.2:40000",
            &[
                ("host", "app.internal:8080"),
                ("x-forwarded-for", "192.0.2.1, 203.0.113.9"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "good.example"),
                ("x-forwarded-prefix", "/app"),
            ],
        ),
        ("10.0.0.2:40000", &[("host", "good.example"), ("x-forwarded-for", "203.0.113.9, 192.0.2.1")]),
        ("203.0.113.9:51515", &[("host", "good.example"), ("x-forwarded-for", "192.0.2.1")]),
        ("10.0.0.2:40000", &[("host", "good.example"), ("x-forwarded-for", "192.0.2.1, unknown")]),
    ];
    for (peer, headers) in heads {
        let mut parts = received(peer, headers)?;
        println!("before   GET {} from {peer}", parts.uri);
        for (name, value) in headers {
            println!("         {name}: {value}");
        }
        fixes.fix(&mut parts);
        println!("after    {}\n", seen(&parts));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proxyfix::Ending;

    use super::*;

    #[track_caller]
    fn assert_seen(peer: &str, headers: &[(&str, &str)], expected: &str) {
        let mut parts = received(peer, headers).unwrap();
        fixes().unwrap().fix(&mut parts);
        assert_eq!(seen(&parts), expected, "from {peer}, {headers:?}");
    }

    #[test]
    fn our_proxies_say_everything() {
        assert_seen(
            "10.0.0.2",
            &[
                ("host", "app.internal"),
                ("x-forwarded-for", "203.0.113.9"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "good.example"),
                ("x-forwarded-prefix", "/app"),
            ],
            "203.0.113.9, at https://good.example/app/users",
        );
    }

    #[test]
    fn the_office_is_known_by_its_address() {
        let chain = [("host", "good.example"), ("x-forwarded-for", "192.0.2.1")];
        assert_seen("10.0.0.2", &chain, "192.0.2.1, from the office, at http://good.example/users");
    }

    #[test]
    fn nobody_talks_their_way_into_the_office() {
        let expected = "203.0.113.9, at http://good.example/users";
        let forged = [("host", "good.example"), ("x-forwarded-for", "192.0.2.1")];
        assert_seen("203.0.113.9", &forged, expected);
        let appended = [("host", "good.example"), ("x-forwarded-for", "192.0.2.1, 203.0.113.9")];
        assert_seen("10.0.0.2", &appended, expected);
        let unreadable = [("host", "good.example"), ("x-forwarded-for", "192.0.2.1, unknown")];
        assert_seen("10.0.0.2", &unreadable, "somebody, at http://good.example/users");
    }

    #[test]
    fn an_answer_has_its_reason() {
        let mut parts = received("10.0.0.2", &[("x-forwarded-for", "192.0.2.1, unknown")]).unwrap();
        fixes().unwrap().fix(&mut parts);
        assert_eq!(parts.extensions.get::<Origin>().unwrap().ending(), Ending::Opaque);
    }

    #[test]
    fn no_header_is_left_to_contradict_the_answer() {
        let headers =
            [("x-real-ip", "127.0.0.1"), ("forwarded", "for=127.0.0.1"), ("x_forwarded_for", "::1")];
        let mut parts = received("203.0.113.9", &headers).unwrap();
        fixes().unwrap().fix(&mut parts);
        assert!(parts.headers.is_empty());
    }
}

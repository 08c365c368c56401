//! The fixes on a whole request head. An input is its target, then header lines, as in HTTP/1; lines
//! that begin with a colon are what no header says:
//!
//! | line | meaning |
//! | --- | --- |
//! | `:connect`, `:options` | another method than GET |
//! | `:http/2` | another version |
//! | `:https` | the connection is encrypted |
//! | `:script-name /app` | a gateway says where the application is mounted |
//! | `:nothing-below` | and that nothing is below |
//!
//! Lines that HTTP does not have are left out.

#![no_main]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::{Ready, ready};
use std::net::Ipv4Addr;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use http::request::Parts;
use http::uri::Uri;
use http::{HeaderName, HeaderValue, Method, Request, Version, header};
use libfuzzer_sys::fuzz_target;
use proxyfix::{
    Connection, CustomProxyFix, Family, Field, Fix, Fixed, Glance, LighttpdCgiRootFix, Mount, Origin,
    PROTECTED_HEADERS, Peer, Port, ProxyFix, Scheme, ScriptNameStripper, TrustedProxies,
};
use proxyfix_fuzz::{host, host_with_port, prefix, proxy};
use tower_service::Service;

fuzz_target!(|data: &[u8]| {
    let head = Head::read(data);
    let local = Some(Peer::local());
    let stranger = [
        Some(Peer::new(Ipv4Addr::new(203, 0, 113, 9).into(), Some(51_515))),
        Some(Peer::new(Ipv4Addr::new(10, 0, 0, 2).to_ipv6_compatible().into(), None)),
        local,
        None,
    ][data.len() % 4];
    for stack in STACKS.iter() {
        l2_silence(stack, &head, stranger);
        for peer in [Some(proxy()), stranger] {
            let once = head.fixed(stack, peer);
            l4_idempotence(stack, &once);
            l11_typed_or_absent(stack, &once);
        }
    }
    for fix in UNRECORDED.iter() {
        for peer in [Some(proxy()), stranger] {
            a_glance_is_enough(fix, &head, peer.unwrap_or_default());
        }
    }
});

/// What an operator may build.
struct Stack {
    fix: Box<dyn Fix + Send + Sync>,
    /// A header that is removed besides the protected ones.
    own: &'static str,
    /// Whether only 10.0.0.0/8 is trusted.
    has_gate: bool,
}

static STACKS: LazyLock<Vec<Stack>> = LazyLock::new(|| {
    let set = || "10.0.0.0/8".parse::<TrustedProxies>().unwrap();
    let all = |trusted| ProxyFix::builder(trusted).fields(Field::ALL);
    let any = TrustedProxies::dangerously_trust_every_peer();
    let counted = all(any.hops(2).unwrap()).x_proto(1).x_host(2).x_port(1).x_prefix(1);
    let forwarded = all(set().hops(2).unwrap()).family(Family::Forwarded);
    let custom = CustomProxyFix::builder(set()).client("X-Real-IP").https_when("Front-End-Https", "on");
    let custom = custom.host("X-FHost").port("X-Forwarded-Port").prefix("X-Script-Name").build().unwrap();
    let app = || "/app".parse().unwrap();
    let stack = |fix, own| Stack { fix, own, has_gate: true };
    vec![
        stack(Box::new(ProxyFix::new(set())), ""),
        stack(Box::new(all(set()).absolute_uri().build().unwrap()), ""),
        stack(Box::new((all(set()).x_host(2).build().unwrap(), LighttpdCgiRootFix::at(app()))), ""),
        stack(Box::new((forwarded.build().unwrap(), ScriptNameStripper::to(app()))), ""),
        stack(Box::new((custom.clone(), all(set()).build().unwrap(), LighttpdCgiRootFix::new())), "x-fhost"),
        stack(Box::new(custom), "x-fhost"),
        Stack { fix: Box::new(counted.build().unwrap()), own: "", has_gate: false },
    ]
});

/// What leaves no record, and may see at a glance what is to be done.
static UNRECORDED: LazyLock<[ProxyFix; 3]> = LazyLock::new(|| {
    let builder = || ProxyFix::builder("10.0.0.0/8".parse::<TrustedProxies>().unwrap()).unrecorded();
    let families = [builder(), builder().family(Family::Forwarded), builder().remove("X-FHost")];
    families.map(|builder| builder.build().unwrap())
});

/// Tells the client to the extensions, whichever way it is found.
struct Told<'a>(&'a ProxyFix, Peer);

impl Fix for Told<'_> {
    fn fix(&self, parts: &mut Parts) {
        let client = self.0.fix_from(self.1.into(), parts);
        parts.extensions.insert(client);
    }

    fn glances(&self) -> bool {
        self.0.glances()
    }

    fn glance(&self, _: Connection, head: proxyfix::Head<'_>, glance: &mut Glance) -> Option<()> {
        self.0.glance(self.1.into(), head, glance)?;
        glance.and_tell(|extensions, client| _ = extensions.insert(Some(client)));
        Some(())
    }
}

/// The service around which the fix is does what the fix does.
fn a_glance_is_enough(fix: &ProxyFix, head: &Head, peer: Peer) {
    struct Leaf;

    impl Service<Request<()>> for Leaf {
        type Response = Request<()>;
        type Error = ();
        type Future = Ready<Result<Request<()>, ()>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ()>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<()>) -> Self::Future {
            ready(Ok(request))
        }
    }

    let told = Told(fix, peer);
    let parts = head.parts();
    let mut fixed = parts.clone();
    told.fix(&mut fixed);
    let answer = Fixed::new(told, Leaf).call(Request::from_parts(parts, ())).into_inner();
    let (served, ()) = answer.unwrap().into_parts();
    let client = |parts: &Parts| parts.extensions.get::<Option<Peer>>().copied();
    assert_eq!((seen(&served), client(&served)), (seen(&fixed), client(&fixed)));
    assert_eq!(served.extensions.get::<Origin>(), fixed.extensions.get::<Origin>());
}

/// A request's head before any fix, and what its connection says but for the peer.
struct Head {
    method: Method,
    target: Uri,
    version: Version,
    scheme: Option<Scheme>,
    mount: Option<Mount>,
    lines: Vec<(HeaderName, HeaderValue)>,
}

impl Head {
    fn read(data: &[u8]) -> Self {
        let mut lines = data.split(|byte| *byte == b'\n');
        let mut head = Self {
            method: Method::GET,
            target: lines.next().and_then(|line| Uri::try_from(line).ok()).unwrap_or_default(),
            version: Version::HTTP_11,
            scheme: None,
            mount: None,
            lines: Vec::new(),
        };
        for line in lines {
            match line {
                b":connect" => head.method = Method::CONNECT,
                b":options" => head.method = Method::OPTIONS,
                b":http/2" => head.version = Version::HTTP_2,
                b":https" => head.scheme = Some(Scheme::Https),
                b":nothing-below" => head.mount = head.mount.map(|mount| mount.with_nothing_below(true)),
                _ => match line.strip_prefix(b":script-name ") {
                    Some(name) => head.mount = Mount::from_script_name(name).ok(),
                    None => head.lines.extend(header_line(line)),
                },
            }
        }
        head
    }

    fn fixed(&self, stack: &Stack, peer: Option<Peer>) -> Parts {
        let mut parts = self.parts();
        peer.map(|peer| parts.extensions.insert(peer));
        stack.fix.fix(&mut parts);
        parts
    }

    fn parts(&self) -> Parts {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = self.method.clone();
        parts.uri = self.target.clone();
        parts.version = self.version;
        for (name, value) in &self.lines {
            parts.headers.append(name, value.clone());
        }
        self.scheme.map(|scheme| parts.extensions.insert(scheme));
        self.mount.clone().map(|mount| parts.extensions.insert(mount));
        parts
    }
}

fn header_line(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let value = line[colon + 1..].trim_ascii_start();
    Some((HeaderName::from_bytes(&line[..colon]).ok()?, HeaderValue::from_bytes(value).ok()?))
}

/// Whether `name` folds to a protected header or to `own`.
fn is_protected(name: &HeaderName, own: &str) -> bool {
    let fold = |char: char| if char.is_ascii_alphanumeric() { char } else { '-' };
    let folded: String = name.as_str().chars().map(fold).collect();
    PROTECTED_HEADERS.contains(&folded.as_str()) || folded == own
}

/// What an application sees. Header names are sorted, because removal changes the order between names;
/// the values of a name keep theirs.
fn seen(parts: &Parts) -> impl PartialEq + Debug + use<> {
    let mut headers: BTreeMap<String, Vec<HeaderValue>> = BTreeMap::new();
    for (name, value) in &parts.headers {
        headers.entry(name.to_string()).or_default().push(value.clone());
    }
    let extensions = &parts.extensions;
    let target = (parts.method.clone(), parts.uri.to_string(), parts.version);
    (target, headers, extensions.get::<Mount>().cloned(), extensions.get::<Peer>().copied())
}

fn origin(parts: &Parts) -> &Origin {
    parts.extensions.get().unwrap()
}

/// Nobody who is not trusted says anything by a forwarding header.
fn l2_silence(stack: &Stack, head: &Head, stranger: Option<Peer>) {
    if stack.has_gate {
        let lines = head.lines.iter().filter(|(name, _)| !is_protected(name, stack.own)).cloned().collect();
        let silent = Head {
            lines,
            method: head.method.clone(),
            target: head.target.clone(),
            mount: head.mount.clone(),
            ..*head
        };
        let (one, other) = (head.fixed(stack, stranger), silent.fixed(stack, stranger));
        assert_eq!(seen(&one), seen(&other));
        assert_eq!(origin(&one), origin(&other));
    }
}

/// Twice is once, all but what became of each field on the way.
fn l4_idempotence(stack: &Stack, once: &Parts) {
    let mut twice = once.clone();
    stack.fix.fix(&mut twice);
    assert_eq!(seen(once), seen(&twice));
    let (once, twice) = (once, &twice);
    assert!(once.headers.iter().eq(&twice.headers), "the order of the headers");
    let told = |parts: &Parts| {
        let origin = origin(parts);
        let client = (origin.client(), origin.client_port(), origin.ending(), origin.last_verified());
        let place = (origin.scheme(), origin.host().cloned(), origin.port(), origin.prefix().clone());
        (origin.peer(), client, place, origin.through_gateway())
    };
    assert_eq!(told(once), told(twice));
}

/// What is published has passed its grammar, all places that say it agree, and no second answer is left.
fn l11_typed_or_absent(stack: &Stack, parts: &Parts) {
    let origin = origin(parts);
    if let Some(published) = origin.host() {
        assert_eq!(host(published.as_str().as_bytes(), false).as_deref(), Some(published.as_str()));
    }
    if let Some(port) = origin.port() {
        assert!(origin.host().is_some() && port != origin.scheme().default_port());
    }
    let published = origin.prefix().as_str();
    assert_eq!(prefix(published.as_bytes()).as_deref(), Some(published));
    // Without a mount, the application is at the root.
    let mounted = parts.extensions.get::<Mount>().map_or("", |mount| mount.prefix().as_str());
    assert_eq!(mounted, published);

    let says = |text: &[u8]| {
        let (host, port) = host_with_port(text).expect("it is a host");
        assert_eq!(Some(host.as_str()), origin.host().map(AsRef::as_ref));
        assert_eq!(port, origin.port().map(Port::get));
    };
    let hosts = parts.headers.get_all(header::HOST);
    assert_eq!(hosts.iter().count(), usize::from(origin.host().is_some()));
    hosts.iter().for_each(|host| says(host.as_bytes()));
    // A bare authority, without a scheme, names a tunnel.
    if let Some(scheme) = parts.uri.scheme_str() {
        says(parts.uri.authority().unwrap().as_str().as_bytes());
        assert_eq!(scheme, origin.scheme().as_str());
    }
    for name in parts.headers.keys() {
        assert!(!is_protected(name, stack.own), "{name} is left");
    }
}

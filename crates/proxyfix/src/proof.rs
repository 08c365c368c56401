//! Proof of the proxy beyond its address.
//!
//! ```text
//! peer 173.245.48.7   trusted, but anybody's: every customer of the CDN comes from there
//! X-Origin-Secret: 9f86d081884c7d65…   known to our distribution alone
//! ```
//!
//! # Example
//!
//! ```
//! use http::Request;
//! use proxyfix::{Fix, Origin, Peer, Proof, ProxyFix, TrustedProxies};
//!
//! let secret = "9f86d081884c7d659a2feaa0c55ad015"; // from the environment, in earnest
//! let fix = ProxyFix::builder("173.245.48.0/20".parse::<TrustedProxies>()?)
//!     .and_proof(Proof::secret("X-Origin-Secret", [secret])?)
//!     .build()?;
//!
//! let client = |proof: &str| -> Result<_, Box<dyn std::error::Error>> {
//!     let (mut parts, ()) = Request::get("/")
//!         .extension("173.245.48.7".parse::<Peer>()?)
//!         .header("x-forwarded-for", "203.0.113.9")
//!         .header("x-origin-secret", proof)
//!         .body(())?
//!         .into_parts();
//!     fix.fix(&mut parts);
//!     assert!(!parts.headers.contains_key("x-origin-secret"));
//!     Ok(parts.extensions.get::<Origin>().unwrap().client())
//! };
//! assert_eq!(client(secret)?, Some("203.0.113.9".parse()?));
//! assert_eq!(client("a guess")?, None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::hint::black_box;
use std::sync::Arc;

use http::HeaderName;
use http::request::Parts;
use proxyfix_policy::{Claims, Error, Peer};

use crate::headers::{HeaderClaims, own_header};

/// What only the proxy can know or show, beside its address or instead of it.
///
/// An address proves little where strangers share it: the machines of a CDN forward for all of its
/// customers, and a container network gives an address to whoever comes next.
///
/// | proof | asks for |
/// | --- | --- |
/// | [`secret`](Self::secret) | a header that holds a secret; two may be live while one is replaced by the other |
/// | [`front_door`](Self::front_door) | Azure's `X-Azure-FDID` with the id of a profile of yours |
/// | [`from_fn`](Self::from_fn) | whatever a function of peer and head finds, such as a client certificate |
/// | [`all`](Self::all), [`any`](Self::any) | several of them, or one of several |
///
/// Whether it is asked for beside the address or instead of it says the builder:
/// [`and_proof`](crate::ProxyFixBuilder::and_proof), [`or_proof`](crate::ProxyFixBuilder::or_proof). A request
/// without the proof is treated as one from a peer that is not trusted: its forwarding headers are
/// removed and not believed. Where the address of the peer is trusted and only the proof is missing, nobody
/// knows the client ([`Origin::is_unproven`](proxyfix_policy::Origin::is_unproven)): the peer may be the proxy, which
/// is never taken for it. The header of the proof is removed from every request, given or not;
/// [`restore`](crate::restore) puts it back with the others.
#[derive(Clone)]
pub struct Proof(Kind);

#[derive(Clone)]
enum Kind {
    Header { name: HeaderName, values: Arc<[Box<[u8]>]> },
    Function(Arc<Function>),
    All(Arc<[Proof]>),
    Any(Arc<[Proof]>),
}

type Function = dyn Fn(&Peer, &Parts) -> bool + Send + Sync;

/// A secret that is shorter can be guessed.
const SHORTEST_SECRET: usize = 16;

impl Proof {
    /// A secret that the proxy sets in `header`, which must stand there once and be one of `secrets`:
    /// one, or two while the proxy goes over from the old one to the new one.
    ///
    /// Secrets have 16 to 1024 bytes of visible ASCII. They are compared in a time that depends on their
    /// lengths alone, and never printed.
    pub fn secret<T: AsRef<[u8]>>(header: &str, secrets: impl IntoIterator<Item = T>) -> Result<Self, Error> {
        let values: Vec<Box<[u8]>> = secrets.into_iter().map(|secret| secret.as_ref().into()).collect();
        // Nothing of a secret stands in an error.
        let refused = |reason: &str| Err(Error::refused(&format!("the secret in {header:?}: {reason}")));
        match values.len() {
            1 | 2 => {}
            0 => return refused("none is given, so that no request could show it"),
            more => {
                return refused(&format!(
                    "{more} are given; at most two may be live, the old one and the new one"
                ));
            }
        }
        for secret in &values {
            if !secret.iter().all(u8::is_ascii_graphic) {
                return refused(
                    "a secret is visible ASCII, without spaces or line ends; mind the end of the file it is read from",
                );
            }
            if !(SHORTEST_SECRET..=1024).contains(&secret.len()) {
                return refused(&format!("it has {} bytes; expected 16 to 1024", secret.len()));
            }
        }
        Self::header(header, values)
    }

    /// `X-Azure-FDID` with the id of one of your Front Door profiles: the address of Azure Front Door
    /// alone says that somebody's profile forwarded the request.
    ///
    /// <https://learn.microsoft.com/azure/frontdoor/origin-security>
    pub fn front_door<T: AsRef<str>>(ids: impl IntoIterator<Item = T>) -> Result<Self, Error> {
        let ids: Vec<Box<[u8]>> = ids
            .into_iter()
            .enumerate()
            .map(|(index, id)| {
                let id = id.as_ref();
                let groups: Vec<usize> = id.split('-').map(str::len).collect();
                if groups != [8, 4, 4, 4, 12] || !id.bytes().all(|it| it.is_ascii_hexdigit() || it == b'-') {
                    // It is not quoted: it may be a secret in the wrong place.
                    return Err(Error::refused(&format!(
                        "value {} is not the id of a Front Door: expected a GUID, such as \
                         a0a0a0a0-bbbb-cccc-dddd-e1e1e1e1e1e1, from the overview page of the profile",
                        index + 1
                    )));
                }
                Ok(id.to_ascii_lowercase().into_bytes().into_boxed_slice())
            })
            .collect::<Result<_, _>>()?;
        if ids.is_empty() {
            return Err(Error::refused("no id of a Front Door is given, so that no request could show it"));
        }
        Self::header("X-Azure-FDID", ids)
    }

    /// Whatever `function` finds in the connection or the head of a request, such as the certificate that
    /// the proxy showed. It sees what earlier fixes left; protected headers it cannot rely on.
    pub fn from_fn(function: impl Fn(&Peer, &Parts) -> bool + Send + Sync + 'static) -> Self {
        Self(Kind::Function(Arc::new(function)))
    }

    /// Every one of `proofs`; of none, nothing proves anything.
    pub fn all(proofs: impl IntoIterator<Item = Self>) -> Self {
        Self(Kind::All(proofs.into_iter().collect()))
    }

    /// One of `proofs`.
    pub fn any(proofs: impl IntoIterator<Item = Self>) -> Self {
        Self(Kind::Any(proofs.into_iter().collect()))
    }

    fn header(name: &str, values: Vec<Box<[u8]>>) -> Result<Self, Error> {
        if name.contains('_') {
            return Err(Error::refused(&format!(
                "{name:?} cannot hold a proof: gateways cannot tell \"_\" from \"-\"; use \"-\""
            )));
        }
        Ok(Self(Kind::Header { name: own_header(name)?, values: values.into() }))
    }

    /// The headers that hold proofs.
    pub(crate) fn headers(&self) -> Vec<HeaderName> {
        match &self.0 {
            Kind::Header { name, .. } => vec![name.clone()],
            Kind::Function(_) => Vec::new(),
            Kind::All(proofs) | Kind::Any(proofs) => proofs.iter().flat_map(Self::headers).collect(),
        }
    }

    /// Whether none is given without the header of this name, in lower case.
    pub(crate) fn asks_for(&self, header: &str) -> bool {
        match &self.0 {
            Kind::Header { name, .. } => name == header,
            Kind::Function(_) => false,
            Kind::All(proofs) => proofs.iter().any(|proof| proof.asks_for(header)),
            Kind::Any(proofs) => !proofs.is_empty() && proofs.iter().all(|proof| proof.asks_for(header)),
        }
    }

    pub(crate) fn is_given(&self, peer: &Peer, parts: &Parts, claims: &HeaderClaims<'_>) -> bool {
        match &self.0 {
            Kind::Header { name, values } => {
                let mut lines = claims.lines(name.as_str());
                match (lines.next(), lines.next()) {
                    // All of them are compared: which one is live shows in no time.
                    (Some(line), None) => {
                        values.iter().fold(false, |given, value| given | same(value, line, name))
                    }
                    _ => false,
                }
            }
            Kind::Function(function) => function(peer, parts),
            Kind::All(proofs) => {
                !proofs.is_empty() && proofs.iter().all(|it| it.is_given(peer, parts, claims))
            }
            Kind::Any(proofs) => proofs.iter().any(|it| it.is_given(peer, parts, claims)),
        }
    }
}

/// Compares in a time that depends on the lengths alone. Ids of Front Doors are compared without case, as
/// GUIDs are.
fn same(value: &[u8], line: &[u8], name: &HeaderName) -> bool {
    let fold = if name == "x-azure-fdid" { u8::to_ascii_lowercase } else { u8::clone };
    let difference = value.iter().zip(line).fold(0, |found, (a, b)| black_box(found | (a ^ fold(b))));
    value.len() == line.len() && black_box(difference) == 0
}

/// Never the secret.
impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Header { name, values } => write!(f, "Proof({name}, {} values)", values.len()),
            Kind::Function(_) => f.write_str("Proof(function)"),
            Kind::All(proofs) => write!(f, "Proof(all of {proofs:?})"),
            Kind::Any(proofs) => write!(f, "Proof(any of {proofs:?})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proxyfix_policy::{Ending, TrustedProxies};

    use super::*;
    use crate::{Fix, Origin, ProxyFix};

    const OLD: &str = "0123456789abcdef-old";
    const NEW: &str = "0123456789abcdef-new";
    const ID: &str = "a0a0a0a0-bbbb-cccc-dddd-e1e1e1e1e1e1";

    fn head(peer: &str, headers: &[(&str, &str)]) -> Parts {
        let request = Request::get("/").extension(peer.parse::<Peer>().unwrap());
        let request = headers.iter().fold(request, |it, (name, value)| it.header(*name, *value));
        request.header("x-forwarded-for", "203.0.113.9").body(()).unwrap().into_parts().0
    }

    /// Whether the proof is taken, from a trusted peer and beside its address; twice is once.
    fn given(proof: &Proof, headers: &[(&str, &str)]) -> bool {
        let trusted: TrustedProxies = "10.0.0.0/8".parse().unwrap();
        let fix = ProxyFix::builder(trusted).and_proof(proof.clone()).build().unwrap();
        let mut parts = head("10.0.0.2", headers);
        fix.fix(&mut parts);
        let once = parts.extensions.get::<Origin>().unwrap().clone();
        assert!(parts.headers.is_empty(), "{:?}", parts.headers);
        fix.fix(&mut parts);
        assert_eq!(parts.extensions.get::<Origin>(), Some(&once));
        assert_eq!(once.is_unproven(), once.ending() == Ending::PeerUntrusted);
        assert_eq!(once.is_complete(), !once.is_unproven(), "the proxy is not the client");
        once.ending() == Ending::ClientFound
    }

    #[test]
    fn a_secret_stands_once_and_is_one_of_two() {
        let proof = Proof::secret("X-Origin-Secret", [OLD, NEW]).unwrap();
        assert!(given(&proof, &[("x-origin-secret", OLD)]));
        assert!(given(&proof, &[("x-origin-secret", NEW)]));
        assert!(!given(&proof, &[]));
        for guess in
            ["", "0123456789abcdef", "0123456789abcdef-old ", "0123456789ABCDEF-OLD", "0123456789abcdef-olD"]
        {
            // White space at the end of a value would be no part of it on the wire.
            assert!(!given(&proof, &[("x-origin-secret", guess)]), "{guess}");
        }
        assert!(!given(&proof, &[("x-origin-secret", OLD), ("x-origin-secret", OLD)]));
        assert!(!given(&proof, &[("x_origin_secret", OLD)]));
    }

    #[test]
    fn the_id_of_a_front_door_is_a_guid() {
        let proof = Proof::front_door([ID]).unwrap();
        assert!(given(&proof, &[("x-azure-fdid", ID)]));
        assert!(given(&proof, &[("x-azure-fdid", &ID.to_uppercase())]));
        assert!(!given(&proof, &[("x-azure-fdid", "b0a0a0a0-bbbb-cccc-dddd-e1e1e1e1e1e1")]));
        assert!(Proof::front_door(["my-profile"]).unwrap_err().to_string().contains("GUID"));
        assert!(Proof::front_door([""; 0]).is_err());
    }

    #[test]
    fn proofs_combine() {
        let (a, b) = (Proof::secret("x-a", [OLD]).unwrap(), Proof::secret("x-b", [NEW]).unwrap());
        let both = [("x-a", OLD), ("x-b", NEW)];
        assert!(given(&Proof::all([a.clone(), b.clone()]), &both));
        assert!(!given(&Proof::all([a.clone(), b.clone()]), &both[..1]));
        assert!(given(&Proof::any([a.clone(), b.clone()]), &both[1..]));
        assert!(!given(&Proof::any([]), &both[..0]));
        assert!(!given(&Proof::all([]), &both[..0]));
        assert!(given(&Proof::from_fn(|peer, _| peer.ip().is_some()), &[]));
    }

    #[test]
    fn a_proof_may_stand_instead_of_the_address() {
        let proof = Proof::secret("x-secret", [OLD]).unwrap();
        let fix = ProxyFix::builder(TrustedProxies::none()).or_proof(proof).build().unwrap();
        let client = |headers: &[(&str, &str)]| {
            let mut parts = head("192.0.2.1", headers);
            fix.fix(&mut parts);
            parts.extensions.get::<Origin>().unwrap().client().unwrap().to_string()
        };
        assert_eq!(client(&[("x-secret", OLD)]), "203.0.113.9");
        assert_eq!(client(&[("x-secret", NEW)]), "192.0.2.1");
    }

    #[test]
    fn secrets_that_prove_nothing_do_not_build() {
        let refused = |header: &str, secrets: &[&str]| {
            let error = Proof::secret(header, secrets).unwrap_err().to_string();
            assert!(secrets.iter().all(|it| it.is_empty() || !error.contains(it)), "{error}");
            error
        };
        assert!(refused("x-secret", &[]).contains("none is given"));
        assert!(refused("x-secret", &["short"]).contains("it has 5 bytes"));
        assert!(refused("x-secret", &[OLD, NEW, "0123456789abcdef-3rd"]).contains("at most two"));
        assert!(refused("x-secret", &["0123456789abcdef\n"]).contains("visible ASCII"));
        assert!(refused("x_secret", &[OLD]).contains("use \"-\""));
        assert!(refused("Host", &[OLD]).contains("routes or frames"));
        assert!(!format!("{:?}", Proof::secret("x-secret", [OLD]).unwrap()).contains("0123"));
    }

    #[test]
    fn a_policy_that_asks_for_a_proof_needs_that_one() {
        use proxyfix_policy::{Gate, Policy};
        let secret = || Proof::secret("x-secret", [OLD]).unwrap();
        let id = || Proof::front_door([ID]).unwrap();
        let asking = |gate| ProxyFix::of(Policy::builder(TrustedProxies::none()).gate(gate));
        let refused = |builder: crate::ProxyFixBuilder| builder.build().unwrap_err().to_string();
        assert!(refused(asking(Gate::AddressAndProof)).contains("and_proof"));
        assert!(refused(asking(Gate::AddressAndProof).or_proof(secret())).contains("with and_proof"));
        assert!(refused(asking(Gate::AddressOrProof).and_proof(secret())).contains("with or_proof"));
        assert!(asking(Gate::AddressAndProof).and_proof(secret()).build().is_ok());

        let demanding = || ProxyFix::of(Policy::builder(TrustedProxies::none()).demands("X-Azure-FDID"));
        assert!(refused(demanding().and_proof(secret())).contains("\"x-azure-fdid\""));
        assert!(refused(demanding().and_proof(Proof::any([id(), secret()]))).contains("x-azure-fdid"));
        assert!(demanding().and_proof(secret()).and_proof(id()).build().is_ok());
    }

    #[test]
    fn several_proofs_are_all_asked_for_or_any_is_enough_and_never_both() {
        let trusted = || "10.0.0.0/8".parse::<TrustedProxies>().unwrap();
        let (a, b) = (Proof::secret("x-a", [OLD]).unwrap(), Proof::from_fn(|_, _| true));
        let both = ProxyFix::builder(trusted()).and_proof(a.clone()).and_proof(b.clone()).build().unwrap();
        let mut parts = head("10.0.0.2", &[]);
        both.fix(&mut parts);
        assert!(parts.extensions.get::<Origin>().unwrap().is_unproven());
        let mixed = ProxyFix::builder(trusted()).and_proof(a).or_proof(b).build();
        assert!(mixed.unwrap_err().to_string().contains("Proof::all"));
    }

    #[test]
    fn a_function_is_asked_of_the_request_as_it_came_in() {
        let fix = ProxyFix::builder("10.0.0.0/8".parse::<TrustedProxies>().unwrap());
        let proof = Proof::from_fn(|_, parts| parts.headers.contains_key("x-real-ip"));
        let fix = fix.and_proof(proof).build().unwrap();
        let mut parts = head("10.0.0.2", &[("x-real-ip", "1")]);
        for _ in 0..2 {
            fix.fix(&mut parts);
            assert_eq!(parts.extensions.get::<Origin>().unwrap().ending(), Ending::ClientFound);
        }
    }

    #[test]
    fn another_policy_is_judged_with_the_same_proof() {
        let trusted = || "10.0.0.0/8".parse::<TrustedProxies>().unwrap();
        let fix = ProxyFix::builder(trusted()).and_proof(Proof::secret("x-a", [OLD]).unwrap());
        let fix = fix.build().unwrap().with_policy(proxyfix_policy::Policy::new(trusted())).unwrap();
        let mut parts = head("10.0.0.2", &[]);
        fix.fix(&mut parts);
        assert!(parts.extensions.get::<Origin>().unwrap().is_unproven());
        let demanding = proxyfix_policy::Policy::builder(trusted()).demands("x-azure-fdid").build().unwrap();
        assert!(fix.with_policy(demanding).is_err());
    }
}

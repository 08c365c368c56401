//! What the layers cost on a request, and what others cost on the same one.
//!
//! A [`Case`] is a function on an [`Input`], whose answer is the address of the client. `count` counts
//! instructions and allocations of the cases, and whoever measures time takes the same list.

use std::net::IpAddr;

pub mod allocations;
pub mod floor;
pub mod inputs;
#[cfg(feature = "peers")]
pub mod limit;
pub mod ours;
#[cfg(feature = "peers")]
pub mod peers;
#[cfg(feature = "peers")]
pub mod scale;
#[cfg(feature = "peers")]
pub mod sets;

pub use inputs::Input;

/// What the cases work on: no body, so that all that is measured is the head.
pub type Request = http::Request<()>;

/// Who the client is, in the opinion of a case.
pub type Answer = Option<IpAddr>;

/// What a case is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What is there without anybody's layer; the cost of other cases is what they cost beyond it.
    Floor,
    /// Ours, as a layer around the service.
    Layer,
    /// A loop written by hand for the one input: what a right answer takes at least.
    Limit,
    /// A crate of others, as a layer.
    Peer,
    /// The same, and the forwarding headers are removed behind it, as our layers do.
    Removing,
    /// A crate of others, as a function that is given the request.
    Function,
    /// A set of networks, asked for many addresses; the request is none of its business.
    Set,
}

/// One way to answer an input.
pub struct Case {
    /// Where it is in the tables: who answers, in lower case with hyphens.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The request that it is given.
    pub input: &'static Input,
    /// The name of the case, on the same input, that does all that is not to be counted; none for a floor.
    pub floor: Option<&'static str>,
    /// Answers the request, which it clones.
    pub call: Call,
}

/// What a case does.
pub type Call = Box<dyn FnMut(&Request) -> Answer>;

impl Case {
    /// The name among all cases: `proxy-one-entry: recorded`.
    pub fn id(&self) -> String {
        format!("{}: {}", self.input.name, self.name)
    }
}

/// All cases, input by input, the floor first.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for input in inputs::all() {
        cases.push(floor::case(input));
        cases.extend(ours::cases(input));
        #[cfg(feature = "peers")]
        cases.extend(limit::cases(input).into_iter().chain(peers::cases(input)));
    }
    #[cfg(feature = "peers")]
    cases.extend(sets::SIZES.into_iter().flat_map(sets::cases).chain(scale::cases()));
    cases
}

//! Our layers, as `proxyfix_axum::wrap` puts them around an application.

use proxyfix::{Family, Fix, Fixed, ProxyFix, ProxyFixBuilder, TrustedProxies};
use proxyfix_axum::ConnectInfoFix;
use tracing::dispatcher::with_default;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

use crate::floor::{self, Bare, Leaf};
use crate::inputs::TRUSTED;
use crate::{Call, Case, Input, Kind};

/// Our cases on `input`.
///
/// # Panics
///
/// Where a policy does not build: a mistake in this file.
pub fn cases(input: &'static Input) -> Vec<Case> {
    let trusted = || TRUSTED.join(", ").parse::<TrustedProxies>().expect("networks");
    let builder = || -> ProxyFixBuilder {
        match input.name {
            "proxy-three" => ProxyFix::builder(trusted()).host().port().prefix(),
            _ if input.has("forwarded") => ProxyFix::builder(trusted()).family(Family::Forwarded),
            _ => ProxyFix::builder(trusted()),
        }
    };
    let case = |name, builder: ProxyFixBuilder| {
        let fix = builder.build().expect("a policy");
        Case { name, kind: Kind::Layer, input, floor: Some(floor::NAME), call: layer(fix) }
    };
    let mut cases = vec![case("recorded", builder()), case("unrecorded", builder().unrecorded())];
    if input.name == "proxy-three" {
        cases.push(case("recorded-absolute", builder().absolute_uri()));
    }
    if input.name == "garbage-8k" {
        // What is refused is reported, to those who listen.
        let Case { call, .. } = case("unrecorded", builder().unrecorded());
        let floor = Some(HEARD_FLOOR);
        cases.push(Case { name: "unrecorded-heard", kind: Kind::Layer, input, floor, call: heard(call) });
        let call = heard(floor::around(Bare(Leaf)));
        cases.push(Case { name: HEARD_FLOOR, kind: Kind::Floor, input, floor: None, call });
    }
    cases
}

const HEARD_FLOOR: &str = "floor-heard";

fn layer(fix: impl Fix + Send + 'static) -> Call {
    floor::around(Fixed::new(ConnectInfoFix(fix), Leaf))
}

/// The same, while somebody listens to warnings.
fn heard(mut call: Call) -> Call {
    // Made by the first call: that there is a listener makes other cases dearer.
    let mut listener = None;
    Box::new(move |request| {
        with_default(listener.get_or_insert_with(|| Dispatch::new(Listener)), || call(request))
    })
}

/// Listens to warnings, and forgets them.
struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

//! Our layers, as `proxyfix_axum::wrap` puts them around an application.

use proxyfix::{Family, Fix, Fixed, ProxyFix, ProxyFixBuilder, TrustedProxies};
use proxyfix_axum::ConnectInfoFix;

use crate::floor::{self, Leaf};
use crate::inputs::TRUSTED;
use crate::{Case, Input, Kind};

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
    cases
}

fn layer(fix: impl Fix + Send + 'static) -> crate::Call {
    floor::around(Fixed::new(ConnectInfoFix(fix), Leaf))
}

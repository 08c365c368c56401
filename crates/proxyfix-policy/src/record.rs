//! The nouns as `serde` writes and reads them, and the record of a decision (feature `serde`).
//!
//! A noun is its text form: `"203.0.113.9:40000"`, `"good.example"`, `"https"`, `"/app"`, `"client-found"`. A
//! [`Port`] is a number, an unknown [`Peer`] is null, and a [`TrustedProxies`] is read of its text or of a
//! list of entries. What is read has passed the same grammar as from text.
//!
//! # The record of a decision
//!
//! [`Origin`] is written, and never read. Its shape is stable: keys may be added, and none changes.
//!
//! | key | value |
//! | --- | --- |
//! | `peer` | who is connected |
//! | `client`, `client_port` | the client's address and port, or null |
//! | `complete` | whether the client is known |
//! | `ending` | why the walk stopped |
//! | `last_verified` | the last hop that is trusted, or the peer |
//! | `scheme`, `host`, `port`, `prefix` | what the client asked for; `host` may be null, `port` is null where it is the scheme's default |
//! | `steps` | `hop` and `verdict` of each step, from the peer leftward |
//! | `fields` | of each field: `outcome` (`not-read`, `absent`, `believed`, `refused`), `refusal` where it was refused, and where its value stood: `header` where its name is fixed, `line`, `position` |
//! | `trusted_hops`, `declared_hops` | how many were found, and how many were declared |
//! | `generation` | which policy judged |
//! | `reason` | the sentence for people |
//!
//! ```
//! use proxyfix_policy::{Policy, Received, TrustedProxies};
//!
//! let policy = Policy::new("10.0.0.0/8".parse::<TrustedProxies>()?);
//! let headers: &[(&str, &[u8])] = &[("x-forwarded-for", b"203.0.113.9"), ("x-forwarded-proto", b"gopher")];
//! let origin = policy.decide("10.0.0.2:40000".parse()?, Received::default(), headers);
//!
//! assert_eq!(serde_json::to_value(&origin)?, serde_json::json!({
//!     "peer": "10.0.0.2:40000",
//!     "client": "203.0.113.9",
//!     "client_port": null,
//!     "complete": true,
//!     "ending": "client-found",
//!     "last_verified": "10.0.0.2:40000",
//!     "scheme": "http",
//!     "host": null,
//!     "port": null,
//!     "prefix": "",
//!     "steps": [
//!         {"hop": "10.0.0.2:40000", "verdict": "trusted"},
//!         {"hop": "203.0.113.9", "verdict": "client"},
//!     ],
//!     "fields": {
//!         "for": {"outcome": "believed", "header": "x-forwarded-for", "line": 1, "position": 1},
//!         "proto": {
//!             "outcome": "refused", "refusal": "malformed",
//!             "header": "x-forwarded-proto", "line": 1, "position": 1,
//!         },
//!         "host": {"outcome": "not-read"},
//!         "port": {"outcome": "not-read"},
//!         "prefix": {"outcome": "not-read"},
//!     },
//!     "trusted_hops": 1,
//!     "declared_hops": null,
//!     "generation": 0,
//!     "reason": "203.0.113.9 is the client: 10.0.0.2 is trusted and vouches for it; X-Forwarded-Proto is \
//!                not taken: it is neither http nor https; let the proxy set one of them",
//! }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};

use crate::{
    Ending, Field, Host, Mount, Origin, Outcome, Peer, Port, Prefix, Refusal, Scheme, Step, TrustedProxies,
    Verdict,
};

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut record = serializer.serialize_struct("Origin", 16)?;
        record.serialize_field("peer", &self.peer())?;
        record.serialize_field("client", &self.client())?;
        record.serialize_field("client_port", &self.client_port())?;
        record.serialize_field("complete", &self.is_complete())?;
        record.serialize_field("ending", &self.ending())?;
        record.serialize_field("last_verified", &self.last_verified())?;
        record.serialize_field("scheme", &self.scheme())?;
        record.serialize_field("host", &self.host())?;
        record.serialize_field("port", &self.port())?;
        record.serialize_field("prefix", self.prefix())?;
        record.serialize_field("steps", &Each(|| self.steps()))?;
        record.serialize_field("fields", &Fields(self))?;
        record.serialize_field("trusted_hops", &self.trusted_hops())?;
        record.serialize_field("declared_hops", &self.declared_hops())?;
        record.serialize_field("generation", &self.generation())?;
        record.serialize_field("reason", &Text(self))?;
        record.end()
    }
}

/// A list that is made again each time it is written.
struct Each<F>(F);

impl<I: Iterator<Item: Serialize>, F: Fn() -> I> Serialize for Each<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

/// Whatever prints, as text.
struct Text<'a, T>(&'a T);

impl<T: fmt::Display> Serialize for Text<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

struct Fields<'a>(&'a Origin);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Field::ALL.map(|field| (field, Fate { origin: self.0, field })))
    }
}

/// What became of one field.
struct Fate<'a> {
    origin: &'a Origin,
    field: Field,
}

impl Serialize for Fate<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (outcome, refusal) = match self.origin.outcome(self.field) {
            Outcome::NotRead => ("not-read", None),
            Outcome::Absent => ("absent", None),
            Outcome::Believed => ("believed", None),
            Outcome::Refused(refusal) => ("refused", Some(refusal)),
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("outcome", outcome)?;
        if let Some(refusal) = refusal {
            map.serialize_entry("refusal", &refusal)?;
        }
        if let Some(place) = self.origin.place(self.field) {
            if let Some(header) = place.written.header(self.field) {
                map.serialize_entry("header", header)?;
            }
            map.serialize_entry("line", &place.line)?;
            map.serialize_entry("position", &place.position)?;
        }
        map.end()
    }
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut step = serializer.serialize_struct("Step", 2)?;
        step.serialize_field("hop", &self.hop)?;
        step.serialize_field("verdict", &self.verdict)?;
        step.end()
    }
}

impl Serialize for Peer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_unknown() { serializer.serialize_none() } else { serializer.collect_str(self) }
    }
}

impl<'de> Deserialize<'de> for Peer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Known(Peer);
        impl<'de> Deserialize<'de> for Known {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                read(deserializer, "an address with or without a port, or \"unix\"").map(Self)
            }
        }
        Option::<Known>::deserialize(deserializer).map(|peer| peer.map_or(Self::unknown(), |it| it.0))
    }
}

impl Serialize for Port {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.get())
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u16::deserialize(deserializer)?;
        Self::new(number).ok_or_else(|| de::Error::custom("0 is not a port: expected 1 to 65535"))
    }
}

macro_rules! written_as_text {
    ($($noun:ty)*) => {
        $(impl Serialize for $noun {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        })*
    };
}

written_as_text!(Ending Field Host Prefix Refusal Scheme Verdict);

impl Serialize for Mount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.prefix().serialize(serializer)
    }
}

macro_rules! read_from_text {
    ($($noun:ty: $expected:literal)*) => {
        $(impl<'de> Deserialize<'de> for $noun {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                read(deserializer, $expected)
            }
        })*
    };
}

read_from_text! {
    Host: "a host"
    Mount: "a path prefix, such as \"/app\""
    Prefix: "a path prefix, such as \"/app\""
    Scheme: "\"http\" or \"https\""
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const NAMES: &[&str] = &["for", "proto", "host", "port", "prefix"];
        let name = deserializer.deserialize_str(Words("the name of a field"))?;
        Self::from_name(&name).ok_or_else(|| de::Error::unknown_variant(&name, NAMES))
    }
}

/// Reads what has a text form.
fn read<'de, T: FromStr<Err: fmt::Display>, D: Deserializer<'de>>(
    deserializer: D,
    expected: &'static str,
) -> Result<T, D::Error> {
    deserializer.deserialize_str(Words(expected))?.parse().map_err(de::Error::custom)
}

/// Any text; the field says what was expected.
struct Words(&'static str);

impl Visitor<'_> for Words {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E>(self, text: &str) -> Result<String, E> {
        Ok(text.into())
    }
}

/// Of its text or of a list of entries.
impl<'de> Deserialize<'de> for TrustedProxies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrEntries;
        impl<'de> Visitor<'de> for TextOrEntries {
            type Value = TrustedProxies;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a trusted set as text, or as a list of entries")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<TrustedProxies, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<TrustedProxies, A::Error> {
                let entries = Vec::<String>::deserialize(SeqAccessDeserializer::new(seq))?;
                TrustedProxies::from_entries(entries).map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(TextOrEntries)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use serde_json::{from_value, json, to_value};

    use super::*;

    #[test]
    fn nouns_are_written_as_they_are_read() {
        #[track_caller]
        fn assert_same<T>(json: &serde_json::Value)
        where
            T: Serialize + for<'de> Deserialize<'de>,
        {
            assert_eq!(&to_value(from_value::<T>(json.clone()).unwrap()).unwrap(), json);
        }
        for peer in [json!("10.0.0.2"), json!("[2001:db8::7]:40000"), json!("unix"), json!(null)] {
            assert_same::<Peer>(&peer);
        }
        assert_same::<Host>(&json!("good.example"));
        assert_same::<Port>(&json!(8443));
        assert_same::<Scheme>(&json!("https"));
        assert_same::<Prefix>(&json!("/app"));
        assert_same::<Mount>(&json!("/app"));
        for field in Field::ALL {
            assert_same::<Field>(&json!(field.as_str()));
        }
    }

    #[test]
    fn what_does_not_pass_its_grammar_is_not_read() {
        #[track_caller]
        fn assert_refused<T: for<'de> Deserialize<'de>>(json: serde_json::Value, reason: &str) {
            let error = from_value::<T>(json).map(drop).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        assert_refused::<Peer>(json!("nobody"), "is not a peer");
        assert_refused::<Peer>(json!(7), "expected an address");
        assert_refused::<Host>(json!("evil.example#"), "is not a host");
        assert_refused::<Port>(json!(0), "0 is not a port");
        assert_refused::<Scheme>(json!("gopher"), "gopher");
        assert_refused::<Prefix>(json!("//evil.example"), "//evil.example");
        assert_refused::<Field>(json!("fro"), "unknown variant `fro`, expected one of `for`, `proto`");
        assert_refused::<TrustedProxies>(json!("loopback, 10.0.0.1/8"), "entry 2 of the trusted set");
        assert_refused::<TrustedProxies>(json!(["loopback", ""]), "entry 2 of the trusted set");
    }

    #[test]
    fn a_trusted_set_is_text_or_entries() {
        let set = |json| from_value::<TrustedProxies>(json).unwrap();
        assert_eq!(set(json!("loopback, unix")), set(json!(["loopback", "unix"])));
        assert_eq!(set(json!("")), TrustedProxies::none());
    }
}

//! Read the networks that a provider publishes from its own file.
//!
//! ```text
//! before   ip-ranges.json, the thousands of networks of AWS
//! after    those from which CloudFront connects, as a set of trusted peers
//! ```
//!
//! # Example
//!
//! ```
//! use proxyfix::Ranges;
//!
//! let published = "
//!     173.245.48.0/20   # https://www.cloudflare.com/ips-v4
//!     103.21.244.0/22
//! ";
//! let peers = Ranges::from_text(published)?.trusted()?;
//! assert!(peers.allows(&"173.245.48.7".parse()?));
//!
//! let error = Ranges::from_text("173.245.48.0/20\n103.21.244.1/22\n").unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "line 2 of the list, \"103.21.244.1/22\": host bits are set; did you mean \"103.21.244.0/22\"?",
//! );
//! # Ok::<(), proxyfix::Error>(())
//! ```

use std::net::IpAddr;

use proxyfix_policy::{Error, IpNet, TrustedProxies};

/// Networks that a provider says are its own, or that the operator states.
///
/// Files are read, and never fetched: a service that starts must not depend on somebody else's server,
/// and what it trusts should be looked at by a person. Each reader refuses a file of another provider, an
/// empty list and whatever is no network, and says where it stands.
///
/// | file | reader | feature |
/// | --- | --- | --- |
/// | a network a line, with `#` comments: `ips-v4` and `ips-v6` of Cloudflare | [`from_text`](Self::from_text) | |
/// | the same as `set_real_ip_from …;`, an include of nginx | [`from_text`](Self::from_text) | |
/// | networks that are documented on a page only, as Google's for its front ends | [`new`](Self::new) | |
/// | the answer of Cloudflare's API, `/client/v4/ips` | `cloudflare` | `ranges` |
/// | `ip-ranges.json` of AWS | `aws`, `aws_in` | `ranges` |
/// | `public-ip-list` of Fastly | `fastly` | `ranges` |
/// | `goog.json` and `cloud.json` of Google | `google` | `ranges` |
/// | `ServiceTags_Public_….json` of Azure | `azure` | `ranges` |
/// | any of them | `detect` | `ranges` |
///
/// A file has at most 16 MiB, several times what providers publish.
///
/// # What they cannot do
///
/// A published range says whose machine it is, not for whom it works: customers of the same provider
/// connect from the same networks. [`Facts::demands`](crate::presets::Facts::demands) says what has to
/// hold besides.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Ranges {
    networks: Vec<IpNet>,
}

/// Bytes of a file.
const LONGEST_FILE: usize = 16 << 20;

impl Ranges {
    /// These networks: documented on a page, or the operator's own.
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self { networks: networks.into_iter().collect() }
    }

    /// A list with one address or network a line.
    ///
    /// Blank lines and what follows a `#` are no part of it. A line may be a directive of nginx,
    /// `set_real_ip_from 192.0.2.0/24;`.
    pub fn from_text(text: impl AsRef<[u8]>) -> Result<Self, Error> {
        let text = bounded(text.as_ref())?;
        if text.first().is_some_and(|byte| b"<{[".contains(byte)) {
            return Err(Error::refused(&format!(
                "a list of networks has one a line: this begins with {}, as {} does",
                quoted(&text[..1]),
                if text[0] == b'<' { "a web page" } else { "JSON" },
            )));
        }
        let mut networks = Vec::new();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.split(|byte| *byte == b'#').next().unwrap_or_default().trim_ascii();
            if !line.is_empty() {
                let place = || format!("line {} of the list", index + 1);
                networks.push(network(of_nginx(line), place)?);
            }
        }
        Self::some(networks, "the list", "no line of it holds a network")
    }

    /// Both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.networks.extend(other.networks);
        self
    }

    /// The networks, as they stand in the file.
    pub fn networks(&self) -> &[IpNet] {
        &self.networks
    }

    /// The set that trusts their machines.
    ///
    /// Refuses networks that together hold every address of a family.
    pub fn trusted(self) -> Result<TrustedProxies, Error> {
        TrustedProxies::new(self.networks)
    }

    fn some(networks: Vec<IpNet>, file: &str, reason: &str) -> Result<Self, Error> {
        if networks.is_empty() {
            return Err(Error::refused(&format!("{file} is empty: {reason}; is it the whole file?")));
        }
        Ok(Self { networks })
    }
}

impl IntoIterator for Ranges {
    type Item = IpNet;
    type IntoIter = std::vec::IntoIter<IpNet>;

    fn into_iter(self) -> Self::IntoIter {
        self.networks.into_iter()
    }
}

/// The octets of a regular file, if they are not too many: to open a pipe would wait for whoever writes to it.
#[cfg(any(feature = "config", feature = "reload"))]
pub(crate) fn read_file(path: &std::path::Path) -> std::io::Result<Vec<u8>> {
    if std::fs::metadata(path)?.is_file() {
        read_bounded(path)
    } else {
        Err(std::io::Error::other("it is no regular file"))
    }
}

/// The octets of a file or of a pipe, if they are not too many.
#[cfg(any(feature = "config", feature = "reload"))]
pub(crate) fn read_bounded(path: &std::path::Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut octets = Vec::new();
    std::fs::File::open(path)?.take(LONGEST_FILE as u64 + 1).read_to_end(&mut octets)?;
    if octets.len() > LONGEST_FILE {
        return Err(std::io::Error::other(format!("it is larger than {LONGEST_FILE} bytes")));
    }
    Ok(octets)
}

/// The text of a file, without a byte order mark and the white space around it.
fn bounded(text: &[u8]) -> Result<&[u8], Error> {
    if text.len() > LONGEST_FILE {
        return Err(Error::refused(&format!(
            "a file of {} bytes: at most {LONGEST_FILE} are read; keep the part that you need",
            text.len()
        )));
    }
    // Leading lines stay, so that the places in errors are those of the file.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let start = text.trim_ascii_start();
    Ok(if start.first().is_some_and(|byte| b"<{[".contains(byte)) { start } else { text })
}

/// The argument of `set_real_ip_from …;`, or the line itself.
fn of_nginx(line: &[u8]) -> &[u8] {
    let argument = line.strip_prefix(b"set_real_ip_from").and_then(|rest| rest.strip_suffix(b";"));
    argument
        .filter(|argument| argument.first().is_some_and(u8::is_ascii_whitespace))
        .map_or(line, <[u8]>::trim_ascii)
}

/// A network or an address, exactly as providers write them.
fn network(text: &[u8], place: impl Fn() -> String) -> Result<IpNet, Error> {
    let refuse = |reason: &str| Err(Error::refused(&format!("{}, {}: {reason}", place(), quoted(text))));
    let Ok(plain) = std::str::from_utf8(text) else { return refuse("it is not text") };
    let (address, length) = plain.split_once('/').map_or((plain, None), |(a, l)| (a, Some(l)));
    let Ok(address) = address.parse::<IpAddr>() else {
        return refuse("not an address or a network, such as 192.0.2.0/24");
    };
    let Some(length) = length else { return Ok(address.into()) };
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let decimal = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let network = length.parse().ok().filter(|_| decimal).and_then(|length| IpNet::new(address, length).ok());
    let Some(network) = network else {
        return refuse(&format!("the prefix length has to be a number of bits from 1 to {bits}"));
    };
    match network.trunc() {
        meant if meant.prefix_len() == 0 => refuse("this is every address of a family"),
        meant if meant != network => refuse(&format!("host bits are set; did you mean \"{meant}\"?")),
        network => Ok(network),
    }
}

/// The beginning of `text`, with everything but plain ASCII escaped, in quotes.
fn quoted(text: &[u8]) -> String {
    const EXCERPT: usize = 64;
    let more = if text.len() > EXCERPT { "..." } else { "" };
    format!("\"{}{more}\"", text[..text.len().min(EXCERPT)].escape_ascii())
}

#[cfg(feature = "ranges")]
mod json {
    use serde_json::{Map, Value};

    use super::{Error, IpNet, Ranges, bounded, network, quoted};

    /// The files that are known, by what only they have.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Kind {
        Cloudflare,
        Aws,
        Fastly,
        Google,
        Azure,
    }

    type Object = Map<String, Value>;

    impl Kind {
        fn of(file: &Object) -> Option<Self> {
            let has = |key: &str| file.contains_key(key);
            match () {
                () if has("addresses") && has("ipv6_addresses") => Some(Self::Fastly),
                () if has("prefixes") && has("ipv6_prefixes") => Some(Self::Aws),
                () if has("prefixes") => Some(Self::Google),
                () if has("values") && has("changeNumber") => Some(Self::Azure),
                () if has("result") && has("success") => Some(Self::Cloudflare),
                () => None,
            }
        }

        /// What people call the file, and its reader.
        const fn names(self) -> (&'static str, &'static str) {
            match self {
                Self::Cloudflare => ("the answer of Cloudflare's API", "Ranges::cloudflare"),
                Self::Aws => ("ip-ranges.json of AWS", "Ranges::aws"),
                Self::Fastly => ("public-ip-list of Fastly", "Ranges::fastly"),
                Self::Google => ("a list of Google", "Ranges::google"),
                Self::Azure => ("the service tags of Azure", "Ranges::azure"),
            }
        }
    }

    /// A file of a provider whose shape is the expected one.
    struct File {
        kind: Kind,
        object: Object,
    }

    impl File {
        fn parse(json: &[u8]) -> Result<Self, Error> {
            let json = bounded(json)?;
            if json.first() == Some(&b'<') {
                return Err(Error::refused(
                    "this is a web page and not the file; download what the page links to",
                ));
            }
            let object: Object = serde_json::from_slice(json).map_err(|error| {
                let line = json.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1));
                let line = quoted(line.unwrap_or_default().trim_ascii());
                Error::refused(&format!(
                    "not the JSON of a provider, in {line}: {error}; is it the whole file?"
                ))
            })?;
            let Some(kind) = Kind::of(&object) else {
                let keys: Vec<String> = object.keys().take(5).map(|key| quoted(key.as_bytes())).collect();
                return Err(Error::refused(&format!(
                    "no provider's file is known that has {}: Cloudflare's, AWS's, Fastly's, Google's and \
                     Azure's are; other lists are read as text, one network a line",
                    if keys.is_empty() { "nothing in it".to_owned() } else { keys.join(", ") }
                )));
            };
            Ok(Self { kind, object })
        }

        fn expect(json: &[u8], kind: Kind) -> Result<Self, Error> {
            let file = Self::parse(json)?;
            if file.kind == kind {
                return Ok(file);
            }
            let ((is, reader), (expected, _)) = (file.kind.names(), kind.names());
            Err(Error::refused(&format!("this is {is}, and not {expected}: {reader} reads it")))
        }

        fn refuse(&self, reason: &str) -> Error {
            Error::refused(&format!("{}: {reason}", self.kind.names().0))
        }

        /// The array at `key` of `object`, called `path` in errors.
        fn array<'a>(&self, object: &'a Object, key: &str, path: &str) -> Result<&'a [Value], Error> {
            let found = object.get(key).and_then(Value::as_array).map(Vec::as_slice);
            found.ok_or_else(|| {
                self.refuse(&format!("{path} is not an array; the shape of the file is unknown"))
            })
        }

        /// The text at `key` of an object that stands at `path`.
        fn text<'a>(&self, value: &'a Value, key: &str, path: &str) -> Result<&'a str, Error> {
            let found = value.get(key).and_then(Value::as_str);
            found.ok_or_else(|| self.refuse(&format!("{path} has no text {key:?}")))
        }

        fn network(&self, text: &str, path: &str) -> Result<IpNet, Error> {
            network(text.as_bytes(), || format!("{path} of {}", self.kind.names().0))
        }

        /// The networks of an array of text.
        fn networks(&self, object: &Object, key: &str, path: &str) -> Result<Vec<IpNet>, Error> {
            let array = self.array(object, key, path)?.iter().enumerate();
            array
                .map(|(index, value)| {
                    let path = format!("{path}[{index}]");
                    let text = value.as_str().ok_or_else(|| self.refuse(&format!("{path} is not text")))?;
                    self.network(text, &path)
                })
                .collect()
        }

        fn cloudflare(&self) -> Result<Ranges, Error> {
            let Some(result) = self.object.get("result").and_then(Value::as_object) else {
                return Err(self.refuse("it has no result; ask for the list again"));
            };
            let mut networks = self.networks(result, "ipv4_cidrs", "result.ipv4_cidrs")?;
            networks.extend(self.networks(result, "ipv6_cidrs", "result.ipv6_cidrs")?);
            self.some(networks)
        }

        fn fastly(&self) -> Result<Ranges, Error> {
            let mut networks = self.networks(&self.object, "addresses", "addresses")?;
            networks.extend(self.networks(&self.object, "ipv6_addresses", "ipv6_addresses")?);
            self.some(networks)
        }

        fn google(&self) -> Result<Ranges, Error> {
            let entries = self.array(&self.object, "prefixes", "prefixes")?.iter().enumerate();
            let networks = entries.map(|(index, entry)| {
                let key = if entry.get("ipv4Prefix").is_some() { "ipv4Prefix" } else { "ipv6Prefix" };
                let path = format!("prefixes[{index}]");
                self.network(self.text(entry, key, &path)?, &format!("{path}.{key}"))
            });
            self.some(networks.collect::<Result<_, _>>()?)
        }

        fn aws(&self, service: &str, region: Option<&str>) -> Result<Ranges, Error> {
            let (mut networks, mut services, mut regions) = (Vec::new(), Vec::new(), Vec::new());
            for (list, key) in [("prefixes", "ip_prefix"), ("ipv6_prefixes", "ipv6_prefix")] {
                for (index, entry) in self.array(&self.object, list, list)?.iter().enumerate() {
                    let path = format!("{list}[{index}]");
                    let of = self.text(entry, "service", &path)?;
                    if of != service {
                        services.push(of);
                        continue;
                    }
                    if let Some(region) = region {
                        let at = self.text(entry, "region", &path)?;
                        if region != at {
                            regions.push(at);
                            continue;
                        }
                    }
                    networks.push(self.network(self.text(entry, key, &path)?, &format!("{path}.{key}"))?);
                }
            }
            match region {
                _ if !networks.is_empty() => Ok(Ranges { networks }),
                Some(region) if !regions.is_empty() => Err(self.unknown(
                    &format!("region {region:?} of the service {service:?}"),
                    region,
                    regions,
                )),
                _ => Err(self.unknown(&format!("service {service:?}"), service, services)),
            }
        }

        fn azure(&self, tag: &str) -> Result<Ranges, Error> {
            let mut tags = Vec::new();
            for (index, value) in self.array(&self.object, "values", "values")?.iter().enumerate() {
                let path = format!("values[{index}]");
                let name = self.text(value, "name", &path)?;
                if name != tag {
                    tags.push(name);
                    continue;
                }
                let Some(properties) = value.get("properties").and_then(Value::as_object) else {
                    return Err(self.refuse(&format!("{path} has no properties")));
                };
                let path = format!("{path}.properties.addressPrefixes");
                return self.some(self.networks(properties, "addressPrefixes", &path)?);
            }
            Err(self.unknown(&format!("service tag {tag:?}"), tag, tags))
        }

        fn some(&self, networks: Vec<IpNet>) -> Result<Ranges, Error> {
            Ranges::some(networks, self.kind.names().0, "there is no network in it")
        }

        /// Refuses a part that the file does not have, and names those that look like it.
        fn unknown(&self, what: &str, asked: &str, mut names: Vec<&str>) -> Error {
            const SHOWN: usize = 6;
            names.sort_unstable();
            names.dedup();
            let count = names.len();
            let asked = asked.to_ascii_lowercase();
            names.sort_by_key(|name| std::cmp::Reverse(likeness(&asked, &name.to_ascii_lowercase())));
            let like = names.iter().filter(|name| likeness(&asked, &name.to_ascii_lowercase()) >= 3).count();
            let shown = if like == 0 { count } else { like }.min(SHOWN);
            let shown = names[..shown].iter().map(|name| quoted(name.as_bytes())).collect::<Vec<_>>();
            self.refuse(&match (count, like) {
                (0, _) => format!("there is no {what}: the file is empty; is it the whole file?"),
                (_, 0) => format!("there is no {what}; of {count} there are {}", shown.join(", ")),
                _ => format!("there is no {what}; did you mean {}?", shown.join(", ")),
            })
        }
    }

    /// How much two names look alike: the letters that they begin with, all of them where one is a part of
    /// the other.
    fn likeness(asked: &str, name: &str) -> usize {
        if !asked.is_empty() && (name.contains(asked) || asked.contains(name)) {
            return asked.len().min(name.len()).max(3);
        }
        asked.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count()
    }

    impl Ranges {
        /// The answer of `https://api.cloudflare.com/client/v4/ips`.
        ///
        /// The networks of JD Cloud, which it lists on demand, are not read.
        pub fn cloudflare(json: impl AsRef<[u8]>) -> Result<Self, Error> {
            File::expect(json.as_ref(), Kind::Cloudflare)?.cloudflare()
        }

        /// One service of `https://ip-ranges.amazonaws.com/ip-ranges.json`, in all regions.
        ///
        /// `CLOUDFRONT_ORIGIN_FACING` is from where CloudFront connects to a service. `EC2` and `AMAZON`
        /// are machines that anyone can rent.
        pub fn aws(json: impl AsRef<[u8]>, service: &str) -> Result<Self, Error> {
            File::expect(json.as_ref(), Kind::Aws)?.aws(service, None)
        }

        /// One service of the same file, in one region, or in `GLOBAL`.
        pub fn aws_in(json: impl AsRef<[u8]>, service: &str, region: &str) -> Result<Self, Error> {
            File::expect(json.as_ref(), Kind::Aws)?.aws(service, Some(region))
        }

        /// `https://api.fastly.com/public-ip-list`.
        pub fn fastly(json: impl AsRef<[u8]>) -> Result<Self, Error> {
            File::expect(json.as_ref(), Kind::Fastly)?.fastly()
        }

        /// `https://www.gstatic.com/ipranges/goog.json`, or `cloud.json` beside it.
        ///
        /// Neither says from where the load balancers of Google connect, and `cloud.json` lists machines
        /// that anyone can rent.
        pub fn google(json: impl AsRef<[u8]>) -> Result<Self, Error> {
            File::expect(json.as_ref(), Kind::Google)?.google()
        }

        /// One service tag of the file that Azure publishes weekly,
        /// <https://www.microsoft.com/download/details.aspx?id=56519>.
        ///
        /// `AzureFrontDoor.Backend` is from where Front Door connects to a service. `AzureCloud` is every
        /// machine that anyone can rent.
        pub fn azure(json: impl AsRef<[u8]>, tag: &str) -> Result<Self, Error> {
            File::expect(json.as_ref(), Kind::Azure)?.azure(tag)
        }

        /// Whatever this file is: a list, or one of a provider.
        ///
        /// `part` is the service of AWS or the service tag of Azure, which those files need and no other has.
        ///
        /// ```
        /// use proxyfix::Ranges;
        ///
        /// let list = Ranges::detect("192.0.2.0/24\n", None)?;
        /// let fastly = Ranges::detect(r#"{"addresses": ["192.0.2.0/24"], "ipv6_addresses": []}"#, None)?;
        /// assert_eq!(list, fastly);
        /// # Ok::<(), proxyfix::Error>(())
        /// ```
        pub fn detect(file: impl AsRef<[u8]>, part: Option<&str>) -> Result<Self, Error> {
            let bytes = file.as_ref();
            let file = match bounded(bytes)?.first() {
                Some(b'{' | b'[' | b'<') => Some(File::parse(bytes)?),
                _ => None,
            };
            match (file, part) {
                (None, None) => Self::from_text(bytes),
                (Some(file), part) => match (file.kind, part) {
                    (Kind::Cloudflare, None) => file.cloudflare(),
                    (Kind::Fastly, None) => file.fastly(),
                    (Kind::Google, None) => file.google(),
                    (Kind::Aws, Some(service)) => file.aws(service, None),
                    (Kind::Azure, Some(tag)) => file.azure(tag),
                    (Kind::Aws, None) => {
                        Err(file.refuse("name one service of it, such as \"CLOUDFRONT_ORIGIN_FACING\""))
                    }
                    (Kind::Azure, None) => {
                        Err(file.refuse("name one service tag of it, such as \"AzureFrontDoor.Backend\""))
                    }
                    (_, Some(part)) => Err(file.refuse(&format!("it has no parts, and so no {part:?}"))),
                },
                (None, Some(part)) => {
                    Err(Error::refused(&format!("a list of networks has no parts, and so no {part:?}")))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    pub(super) fn assert_networks(ranges: Result<Ranges, Error>, networks: &[&str]) {
        let found: Vec<String> = ranges.unwrap().into_iter().map(|network| network.to_string()).collect();
        assert_eq!(found, networks);
    }

    #[track_caller]
    pub(super) fn assert_refused(ranges: Result<Ranges, Error>, message: &str) {
        let error = ranges.unwrap_err().to_string();
        assert!(error.contains(message), "said: {error}");
    }

    #[test]
    fn a_list_has_a_network_a_line() {
        assert_networks(
            Ranges::from_text(
                "\u{feff}# Cloudflare\r\n173.245.48.0/20\r\n\r\n 2400:cb00::/32 # v6\r\n192.0.2.7",
            ),
            &["173.245.48.0/20", "2400:cb00::/32", "192.0.2.7/32"],
        );
        // Twice the same is the same set.
        let twice = Ranges::from_text("192.0.2.0/24\n192.0.2.0/24\n192.0.2.128/25").unwrap();
        assert_eq!(twice.trusted(), "192.0.2.0/24".parse());
    }

    #[test]
    fn an_include_of_nginx_is_a_list() {
        let include = "set_real_ip_from 173.245.48.0/20;\nset_real_ip_from\t2400:cb00::/32 ; # v6\n";
        assert_networks(Ranges::from_text(include), &["173.245.48.0/20", "2400:cb00::/32"]);
        let whole = format!("{include}real_ip_header CF-Connecting-IP;");
        assert_refused(
            Ranges::from_text(whole),
            "line 3 of the list, \"real_ip_header CF-Connecting-IP;\": not",
        );
        assert_refused(Ranges::from_text("set_real_ip_from unix:;"), "line 1 of the list, \"unix:\": not");
        assert_refused(Ranges::from_text("set_real_ip_from192.0.2.0/24;"), "not an address");
    }

    #[test]
    fn what_is_no_network_is_refused_with_its_place() {
        for (line, message) in [
            ("10.0.0.1/8", "\"10.0.0.1/8\": host bits are set; did you mean \"10.0.0.0/8\"?"),
            ("2001:db8::1/32", "did you mean \"2001:db8::/32\"?"),
            ("10.0.0.0/33", "a number of bits from 1 to 32"),
            ("2001:db8::/129", "a number of bits from 1 to 128"),
            ("10.0.0.0/+8", "a number of bits"),
            ("10.0.0.0/", "a number of bits"),
            ("0.0.0.0/0", "every address of a family"),
            ("::/0", "every address of a family"),
            ("loopback", "\"loopback\": not an address or a network"),
            ("10.0.0.0/8, 192.0.2.0/24", "a number of bits"),
            ("192.0.2.1 192.0.2.2", "not an address or a network"),
            ("proxy.good.example", "not an address or a network"),
            ("fe80::1%eth0", "not an address or a network"),
            ("<tr>", "\"<tr>\": not"),
        ] {
            let list = format!("192.0.2.0/24\n\n{line}\n");
            assert_refused(Ranges::from_text(&list), "line 3 of the list, \"");
            assert_refused(Ranges::from_text(&list), message);
        }
        assert_refused(
            Ranges::from_text(b"192.0.2.0/24\n\xff\x00"),
            "line 2 of the list, \"\\xff\\x00\": it is not text",
        );
        let long = format!("{}\n", "1".repeat(500));
        assert!(Ranges::from_text(long).unwrap_err().to_string().len() < 200);
    }

    #[test]
    fn an_empty_list_is_refused() {
        for empty in ["", "\n\n", "# nothing\n", "\u{feff}"] {
            assert_refused(Ranges::from_text(empty), "the list is empty");
        }
    }

    #[test]
    fn another_file_is_no_list() {
        assert_refused(Ranges::from_text("  <!DOCTYPE html>"), "as a web page does");
        assert_refused(Ranges::from_text("{\"addresses\": []}"), "as JSON does");
        assert_refused(Ranges::from_text(" ".repeat(LONGEST_FILE + 1)), "at most 16777216 are read");
    }

    #[test]
    fn several_sources_make_one_set() {
        let page = Ranges::new(["35.191.0.0/16".parse().unwrap(), "130.211.0.0/22".parse().unwrap()]);
        let both = page.and(Ranges::from_text("2001:db8::/48").unwrap()).trusted().unwrap();
        for peer in ["35.191.0.1", "130.211.3.255", "2001:db8::7"] {
            assert!(both.allows(&peer.parse().unwrap()), "{peer}");
        }
        assert!(!both.allows(&"130.211.4.0".parse().unwrap()));
        assert!(Ranges::default().trusted().unwrap().trusts_nobody());
        let halves = Ranges::from_text("0.0.0.0/1\n128.0.0.0/1").unwrap();
        assert!(halves.trusted().is_err());
    }

    #[test]
    fn thousands_of_networks_are_read() {
        let list: Vec<String> = (0..8_000).map(|n| format!("10.{}.{}.0/25", n >> 8, n & 255)).collect();
        let ranges = Ranges::from_text(list.join("\n")).unwrap();
        assert_eq!(ranges.networks().len(), 8_000);
        assert!(ranges.trusted().unwrap().allows(&"10.31.63.1".parse().unwrap()));
    }
}

#[cfg(all(test, feature = "ranges"))]
mod json_tests {
    use super::Ranges;
    use super::tests::{assert_networks, assert_refused};

    const CLOUDFLARE: &str = r#"{
        "result": {
            "ipv4_cidrs": ["173.245.48.0/20", "103.21.244.0/22"],
            "ipv6_cidrs": ["2400:cb00::/32"],
            "etag": "38f79d05"
        },
        "success": true, "errors": [], "messages": []
    }"#;

    const AWS: &str = r#"{
        "syncToken": "1790000000",
        "createDate": "2026-11-20-00-00-00",
        "prefixes": [
            {"ip_prefix": "192.0.2.0/24", "region": "eu-west-1", "service": "AMAZON", "network_border_group": "eu-west-1"},
            {"ip_prefix": "192.0.2.0/24", "region": "eu-west-1", "service": "EC2", "network_border_group": "eu-west-1"},
            {"ip_prefix": "198.51.100.0/24", "region": "us-east-1", "service": "EC2", "network_border_group": "us-east-1"},
            {"ip_prefix": "203.0.113.0/25", "region": "GLOBAL", "service": "CLOUDFRONT", "network_border_group": "GLOBAL"},
            {"ip_prefix": "203.0.113.128/26", "region": "GLOBAL", "service": "CLOUDFRONT_ORIGIN_FACING", "network_border_group": "GLOBAL"}
        ],
        "ipv6_prefixes": [
            {"ipv6_prefix": "2001:db8:1::/48", "region": "GLOBAL", "service": "CLOUDFRONT_ORIGIN_FACING", "network_border_group": "GLOBAL"}
        ]
    }"#;

    const FASTLY: &str =
        r#"{"addresses":["23.235.32.0/20","43.249.72.0/22"],"ipv6_addresses":["2a04:4e40::/32"]}"#;

    const GOOGLE: &str = r#"{
        "syncToken": "1790000000000", "creationTime": "2026-11-20T00:00:00.000000",
        "prefixes": [
            {"ipv4Prefix": "192.0.2.0/24"},
            {"ipv6Prefix": "2001:db8:2::/48", "service": "Google Cloud", "scope": "europe-west1"}
        ]
    }"#;

    const AZURE: &str = r#"{
        "changeNumber": 400, "cloud": "Public",
        "values": [
            {"name": "AzureCloud", "id": "AzureCloud", "properties": {"changeNumber": 1, "addressPrefixes": ["192.0.2.0/24"]}},
            {"name": "AzureFrontDoor.Backend", "id": "AzureFrontDoor.Backend",
             "properties": {"changeNumber": 7, "region": "", "systemService": "AzureFrontDoor",
                            "addressPrefixes": ["203.0.113.0/27", "2001:db8:3::/48"]}},
            {"name": "AzureFrontDoor.Frontend", "id": "AzureFrontDoor.Frontend", "properties": {"addressPrefixes": []}}
        ]
    }"#;

    #[test]
    fn each_provider_has_its_reader() {
        let cloudflare = ["173.245.48.0/20", "103.21.244.0/22", "2400:cb00::/32"];
        let fastly = ["23.235.32.0/20", "43.249.72.0/22", "2a04:4e40::/32"];
        let google = ["192.0.2.0/24", "2001:db8:2::/48"];
        let cloudfront = ["203.0.113.128/26", "2001:db8:1::/48"];
        let front_door = ["203.0.113.0/27", "2001:db8:3::/48"];
        assert_networks(Ranges::cloudflare(CLOUDFLARE), &cloudflare);
        assert_networks(Ranges::fastly(FASTLY), &fastly);
        assert_networks(Ranges::google(GOOGLE), &google);
        assert_networks(Ranges::aws(AWS, "CLOUDFRONT_ORIGIN_FACING"), &cloudfront);
        assert_networks(Ranges::aws_in(AWS, "EC2", "us-east-1"), &["198.51.100.0/24"]);
        assert_networks(Ranges::aws(AWS, "EC2"), &["192.0.2.0/24", "198.51.100.0/24"]);
        assert_networks(Ranges::azure(AZURE, "AzureFrontDoor.Backend"), &front_door);

        assert_networks(Ranges::detect(CLOUDFLARE, None), &cloudflare);
        assert_networks(Ranges::detect(FASTLY, None), &fastly);
        assert_networks(Ranges::detect(GOOGLE, None), &google);
        assert_networks(Ranges::detect(AWS, Some("CLOUDFRONT_ORIGIN_FACING")), &cloudfront);
        assert_networks(Ranges::detect(AZURE, Some("AzureFrontDoor.Backend")), &front_door);
        assert_networks(Ranges::detect(format!("\u{feff}\n{AZURE}"), Some("AzureCloud")), &["192.0.2.0/24"]);
        assert_networks(Ranges::detect("192.0.2.0/24", None), &["192.0.2.0/24"]);
    }

    #[test]
    fn a_part_is_named_where_a_file_has_parts() {
        assert_refused(
            Ranges::detect(AWS, None),
            "name one service of it, such as \"CLOUDFRONT_ORIGIN_FACING\"",
        );
        assert_refused(Ranges::detect(AZURE, None), "such as \"AzureFrontDoor.Backend\"");
        assert_refused(Ranges::detect(FASTLY, Some("EC2")), "it has no parts, and so no \"EC2\"");
        assert_refused(Ranges::detect("192.0.2.0/24", Some("EC2")), "a list of networks has no parts");
    }

    #[test]
    fn an_unknown_part_is_refused_with_those_that_look_like_it() {
        assert_refused(
            Ranges::azure(AZURE, "AzureFrontDoor"),
            "the service tags of Azure: there is no service tag \"AzureFrontDoor\"; did you mean \
             \"AzureFrontDoor.Backend\", \"AzureFrontDoor.Frontend\"",
        );
        assert_refused(
            Ranges::aws(AWS, "cloudfront"),
            "ip-ranges.json of AWS: there is no service \"cloudfront\"; did you mean \"CLOUDFRONT\"",
        );
        assert_refused(
            Ranges::aws(AWS, "nothing"),
            "there is no service \"nothing\"; of 4 there are \"AMAZON\", \"CLOUDFRONT\", \
             \"CLOUDFRONT_ORIGIN_FACING\", \"EC2\"",
        );
        assert_refused(
            Ranges::aws_in(AWS, "EC2", "us-east-2"),
            "there is no region \"us-east-2\" of the service \"EC2\"; did you mean \"us-east-1\"?",
        );
        assert_refused(Ranges::aws_in(AWS, "EC3", "us-east-1"), "there is no service \"EC3\"");
        assert_refused(
            Ranges::azure(r#"{"changeNumber": 1, "values": []}"#, "AzureCloud"),
            "the file is empty",
        );
    }

    #[test]
    fn a_file_of_another_provider_is_refused() {
        let files = [CLOUDFLARE, AWS, FASTLY, GOOGLE, AZURE];
        for (of, file) in files.into_iter().enumerate() {
            let read = [
                Ranges::cloudflare(file),
                Ranges::aws(file, "EC2"),
                Ranges::fastly(file),
                Ranges::google(file),
                Ranges::azure(file, "AzureCloud"),
            ];
            for (by, ranges) in read.into_iter().enumerate() {
                assert_eq!(ranges.is_ok(), of == by, "file {of} by reader {by}");
            }
        }
        assert_refused(
            Ranges::aws(FASTLY, "EC2"),
            "this is public-ip-list of Fastly, and not ip-ranges.json of AWS: Ranges::fastly reads it",
        );
        assert_refused(Ranges::fastly("<html>"), "this is a web page and not the file");
        assert_refused(Ranges::detect(" <html>", None), "this is a web page and not the file");
        assert_refused(
            Ranges::detect(r#"{"hooks": []}"#, None),
            "no provider's file is known that has \"hooks\"",
        );
        assert_refused(Ranges::detect("[]", None), "not the JSON of a provider, in \"[]\"");
        assert_refused(Ranges::fastly("23.235.32.0/20"), "not the JSON of a provider, in \"23.235.32.0/20\"");
    }

    #[test]
    fn a_bad_value_is_refused_with_its_path() {
        let with = |from: &str, to: &str| FASTLY.replace(from, to);
        assert_refused(
            Ranges::fastly(with("43.249.72.0/22", "43.249.72.1/22")),
            "addresses[1] of public-ip-list of Fastly, \"43.249.72.1/22\": host bits are set; did you mean \
             \"43.249.72.0/22\"?",
        );
        assert_refused(Ranges::fastly(with("\"43.249.72.0/22\"", "7")), "Fastly: addresses[1] is not text");
        assert_refused(
            Ranges::fastly(with("[\"2a04:4e40::/32\"]", "null")),
            "ipv6_addresses is not an array",
        );
        assert_refused(
            Ranges::fastly(r#"{"addresses":[],"ipv6_addresses":[]}"#),
            "there is no network in it",
        );
        assert_refused(Ranges::fastly(&FASTLY[..40]), "is it the whole file?");
        assert_refused(
            Ranges::aws(AWS.replace("203.0.113.128/26", "::/0"), "CLOUDFRONT_ORIGIN_FACING"),
            "prefixes[4].ip_prefix of ip-ranges.json of AWS, \"::/0\": this is every address",
        );
        assert_refused(
            Ranges::aws(AWS.replace("\"service\": \"AMAZON\"", "\"service\": 7"), "EC2"),
            "prefixes[0] has no text \"service\"",
        );
        assert_refused(
            Ranges::azure(AZURE.replace("203.0.113.0/27", "x"), "AzureFrontDoor.Backend"),
            "values[1].properties.addressPrefixes[0] of the service tags of Azure, \"x\": not an address",
        );
        assert_refused(Ranges::azure(AZURE, "AzureFrontDoor.Frontend"), "there is no network in it");
        assert_refused(
            Ranges::google(GOOGLE.replace("ipv4Prefix", "prefix")),
            "prefixes[0] has no text \"ipv6Prefix\"",
        );
        assert_refused(Ranges::cloudflare(r#"{"result": null, "success": false}"#), "it has no result");
        assert_refused(Ranges::fastly("[".repeat(100_000)), "not the JSON of a provider");
        // A part that is not asked for is not read: a bad network of it changes nothing.
        assert_networks(
            Ranges::aws(AWS.replace("203.0.113.0/25", "x"), "EC2"),
            &["192.0.2.0/24", "198.51.100.0/24"],
        );
    }
}

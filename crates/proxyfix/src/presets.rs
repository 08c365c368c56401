//! What each CDN, load balancer and platform really writes, as data.
//!
//! ```text
//! before   peer 173.245.48.7   CF-Connecting-IP: 203.0.113.9   X-Forwarded-For: 6.6.6.6, 203.0.113.9
//! after    client 203.0.113.9, because that peer is Cloudflare's and this is Cloudflare's header
//! ```
//!
//! # Example
//!
//! ```
//! use http::Request;
//! use proxyfix::{Fix, Origin, Peer, Preset, ProxyFix, Ranges};
//!
//! // The file that Cloudflare publishes, as you downloaded it.
//! let published = "173.245.48.0/20\n103.21.244.0/22\n2400:cb00::/32\n";
//! let peers = Ranges::from_text(published)?.trusted()?;
//! let fix = ProxyFix::new(Preset::Cloudflare.policy(peers)?);
//!
//! let (mut parts, ()) = Request::get("/")
//!     .extension("173.245.48.7".parse::<Peer>()?)
//!     .header("cf-connecting-ip", "203.0.113.9")
//!     .header("x-forwarded-for", "6.6.6.6, 203.0.113.9") // its left end is the client's invention
//!     .body(())?
//!     .into_parts();
//! fix.fix(&mut parts);
//!
//! let origin = parts.extensions.get::<Origin>().unwrap();
//! assert_eq!(origin.client(), Some("203.0.113.9".parse()?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The presets
//!
//! A preset never comes with networks of its own: they change, and a list that was compiled in ages in
//! silence. It refuses to build without a set, and says where the provider publishes it;
//! [`Ranges`](crate::Ranges) reads those files.
//!
//! | preset | reads | entries | must hold | checked |
//! | --- | --- | --- | --- | --- |
//! | `cloudflare` | for from `CF-Connecting-IP`, set; proto from `X-Forwarded-Proto`, overwritten | 1 | peers, a secret | 2026-11-21: <https://developers.cloudflare.com/fundamentals/reference/http-headers/> |
//! | `cloudfront` | for from `CloudFront-Viewer-Address` with a port, set; proto from `CloudFront-Forwarded-Proto`, set | 1 | peers, a secret | 2026-11-21: <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/adding-cloudfront-headers.html> <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/add-origin-custom-headers.html> |
//! | `fastly` | for from `Fastly-Client-IP`, passed through | 1 | peers, a secret | 2026-11-21: <https://www.fastly.com/documentation/reference/http/http-headers/Fastly-Client-IP/> <https://www.fastly.com/documentation/reference/http/http-headers/X-Forwarded-For/> |
//! | `akamai` | for from `True-Client-IP`, overwritten | 1 | peers, a secret | quoted by others: <https://techdocs.akamai.com/terraform/docs/origin> <https://techdocs.akamai.com/property-mgr/reference/latest-site-shield> |
//! | `azure-front-door` | for from `X-Azure-SocketIP`, set; proto from `X-Forwarded-Proto`, overwritten; host from `X-Forwarded-Host`, overwritten | 1 | peers, X-Azure-FDID | 2026-11-21: <https://learn.microsoft.com/en-us/azure/frontdoor/front-door-http-headers-protocol> <https://learn.microsoft.com/en-us/azure/frontdoor/origin-security> |
//! | `azure-application-gateway` | for from `X-Forwarded-For`, appended; proto from `X-Forwarded-Proto`, set | 1 | peers | 2026-11-21: <https://learn.microsoft.com/en-us/azure/application-gateway/how-application-gateway-works> <https://learn.microsoft.com/en-us/azure/application-gateway/rewrite-http-headers-url> |
//! | `aws-alb` | for from `X-Forwarded-For`, appended; proto from `X-Forwarded-Proto`, set | 1 | peers | 2026-11-21: <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/x-forwarded-headers.html> |
//! | `google-load-balancer` | for from `X-Forwarded-For`, appended | 2 | peers | quoted by others: <https://docs.cloud.google.com/load-balancing/docs/https> <https://cloud.google.com/load-balancing/docs/firewall-rules> |
//! | `fly` | for from `Fly-Client-IP`, set | 1 | peers | 2026-11-21: <https://fly.io/docs/networking/request-headers/> <https://fly.io/docs/networking/services/> |
//! | `heroku` | for from `X-Forwarded-For`, appended; proto from `X-Forwarded-Proto`, set | 1 | peers | 2026-11-21: <https://devcenter.heroku.com/articles/http-routing> |
//! | `nginx` | for from `X-Real-IP`, passed through | 1 | peers | quoted by others: <https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_set_header> |
//!
//! # What has to be set, and what to know
//!
//! | preset | at the provider | know |
//! | --- | --- | --- |
//! | `cloudflare` | Pseudo IPv4 not at Overwrite Headers | Zones of other customers connect from the same networks, and a Worker can choose the address that CF-Connecting-IP names in requests within its own zone. |
//! | `cloudfront` | an origin request policy that adds both headers | Distributions of other customers connect from the same networks. Behind a load balancer of AWS the peer is the balancer, and CloudFront the hop before it. |
//! | `fastly` | VCL that sets Fastly-Client-IP to client.ip where fastly.ff.visits_this_service and req.restarts are 0, and the secret beside it | Without that VCL Fastly believes the Fastly-Client-IP that a client sent. X-Forwarded-For is no better: Fastly appends the client's address only where the client came over TLS. |
//! | `akamai` | in the origin behavior enableTrueClientIp on and trueClientIpClientSetting off | With trueClientIpClientSetting on, Akamai passes on the address that a client chose. The property may name the header otherwise. |
//! | `azure-front-door` | nothing | Profiles of other customers connect from the same networks: X-Azure-FDID tells them from yours. X-Azure-ClientIP is not read, because a client can choose it. |
//! | `azure-application-gateway` | nothing | Each entry has a port. How an IPv6 client is written is not documented; a rewrite rule that sets X-Forwarded-For to {var_add_x_forwarded_for_proxy} leaves the ports out. |
//! | `aws-alb` | routing.http.xff_header_processing.mode at append, the default | With the mode preserve the balancer passes on the X-Forwarded-For that a client wrote. Leave routing.http.xff_client_port.enabled off. |
//! | `google-load-balancer` | nothing | The balancer appends the client and then its own address. No file publishes the networks of the front ends; cloud.json lists the machines of customers, who are not to be trusted. |
//! | `fly` | a service with the http handler | Machines of your own organization reach each other without the proxy, and can name any client. X-Forwarded-Proto is not read: that a client's own is replaced is not documented. |
//! | `heroku` | nothing | Try what the router does with two lines of X-Forwarded-For: in 2016 it was seen to append to the first and to pass on the second, which could name anyone. Dynos of a private space reach each other. |
//! | `nginx` | proxy_set_header X-Real-IP $remote_addr; | Without that line nginx passes on the X-Real-IP that a client sent. A location with a proxy_set_header of its own inherits none. |

use proxyfix_policy::{Error, Family, Field, Hop, Policy, PolicyBuilder, Topology, TrustedProxies};

/// A CDN, load balancer or platform whose habits are known.
///
/// A preset says which header names the client and which other headers are the provider's own word; the
/// operator says who the provider is, as [`TrustedProxies`]. The tables of [this module](self) have all of
/// them; [`facts`](Self::facts) has the same as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Preset {
    /// Cloudflare.
    Cloudflare,
    /// Amazon CloudFront.
    CloudFront,
    /// Fastly.
    Fastly,
    /// Akamai, and whoever else writes `True-Client-IP` as Akamai does.
    Akamai,
    /// Azure Front Door.
    AzureFrontDoor,
    /// Azure Application Gateway.
    AzureApplicationGateway,
    /// The Application Load Balancer of AWS.
    AwsAlb,
    /// The Application Load Balancers of Google Cloud.
    GoogleLoadBalancer,
    /// Fly.io.
    Fly,
    /// Heroku.
    Heroku,
    /// Your own nginx that sends `X-Real-IP`.
    Nginx,
}

/// What is known about a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Facts {
    /// The name of the preset in configuration files.
    pub name: &'static str,
    /// What the provider calls itself.
    pub provider: &'static str,
    /// The headers that are believed, the one that names the client first.
    pub headers: &'static [Header],
    /// How many entries the provider adds to a chain; 1 where the header has one value.
    pub entries: u8,
    /// What must hold before the headers mean anything.
    pub demands: &'static [Demand],
    /// Who the peers are.
    pub peers: Peers,
    /// What has to be set at the provider; without it the headers are absent, or the client's own.
    pub setting: Option<&'static str>,
    /// What an operator should know.
    pub caveat: &'static str,
    /// The provider's pages that say so.
    pub documentation: &'static [&'static str],
    /// The day on which those pages were read; `None` where the provider's own page could not be read and
    /// the facts are as others quote it.
    pub checked: Option<&'static str>,
}

/// One header of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// Its name.
    pub name: &'static str,
    /// The field that it states, and that the preset therefore believes.
    pub field: Field,
    /// How the value is written.
    pub format: Format,
    /// What becomes of the header where the client sent one, before the [setting](Facts::setting) is made.
    pub writes: Writes,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// One address.
    Address,
    /// One address and always a port behind the last colon; IPv6 has no brackets.
    AddressAndPort,
    /// A chain of addresses, each with or without a port.
    Chain,
    /// A word or a host.
    Value,
}

/// What becomes of a header where the client sent one of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Writes {
    /// It is replaced: the provider says so.
    Overwrites,
    /// The provider writes it and does not say what becomes of the client's. If both arrive, there are
    /// two values, and where there has to be one, neither is believed.
    Sets,
    /// The provider's part comes behind it.
    Appends,
    /// It stays as it is: worthless without the [setting](Facts::setting).
    PassesThrough,
}

/// What must hold before a provider's headers mean anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Demand {
    /// The peer is one of the provider's machines. A preset does not build without it.
    Peers,
    /// A header holds a secret that you and your account at the provider share, because other customers
    /// connect from the same machines, or because only the same setting makes the headers true. A preset
    /// does not ask for it by itself: how other customers' requests differ from yours, you know better.
    Secret,
    /// This header holds the identifier of your account, because other customers connect from the same
    /// machines. A preset believes nothing without it.
    Header(&'static str),
}

/// Where an operator finds the provider's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Peers {
    /// The provider publishes them, here.
    Published(&'static str),
    /// They are part of what you run or rent.
    YourOwn(&'static str),
    /// They are not published, and from outside nothing else connects: the one case in which a preset
    /// takes [every peer](TrustedProxies::dangerously_trust_every_peer).
    NotPublished(&'static str),
}

impl Preset {
    /// All presets.
    pub const ALL: &'static [Self] = &[
        Self::Cloudflare,
        Self::CloudFront,
        Self::Fastly,
        Self::Akamai,
        Self::AzureFrontDoor,
        Self::AzureApplicationGateway,
        Self::AwsAlb,
        Self::GoogleLoadBalancer,
        Self::Fly,
        Self::Heroku,
        Self::Nginx,
    ];

    /// The name in configuration files: `cloudflare`, `azure-front-door`, …
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// The preset of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|preset| preset.name() == name)
    }

    /// What is known about the provider.
    pub fn facts(self) -> &'static Facts {
        match self {
            Self::Cloudflare => &CLOUDFLARE,
            Self::CloudFront => &CLOUDFRONT,
            Self::Fastly => &FASTLY,
            Self::Akamai => &AKAMAI,
            Self::AzureFrontDoor => &AZURE_FRONT_DOOR,
            Self::AzureApplicationGateway => &AZURE_APPLICATION_GATEWAY,
            Self::AwsAlb => &AWS_ALB,
            Self::GoogleLoadBalancer => &GOOGLE_LOAD_BALANCER,
            Self::Fly => &FLY,
            Self::Heroku => &HEROKU,
            Self::Nginx => &NGINX,
        }
    }

    /// The policy: what the provider writes, believed from these peers.
    ///
    /// | peers | |
    /// | --- | --- |
    /// | a set | believed |
    /// | nobody | refused: the error says where the provider publishes its addresses |
    /// | every peer | refused, but for platforms that let nothing else in, and [their addresses are not published](Peers::NotPublished) |
    /// | a set that declares [hops](TrustedProxies::hops) | refused: the preset knows what is added |
    ///
    /// A preset that demands [a header of your account](Demand::Header) asks for it as a
    /// [`Proof`](crate::Proof), without which no request is believed; give it to the fix that is made
    /// [of the builder](Self::builder). A [secret](Demand::Secret) is for you to add in the same way.
    ///
    /// ```
    /// use proxyfix::{Preset, Proof, ProxyFix};
    ///
    /// let peers = "192.0.2.0/24".parse()?; // AzureFrontDoor.Backend, from the file of service tags
    /// let fix = ProxyFix::of(Preset::AzureFrontDoor.builder(peers)?)
    ///     .and_proof(Proof::front_door(["a0a0a0a0-bbbb-cccc-dddd-e1e1e1e1e1e1"])?)
    ///     .build()?;
    /// # Ok::<(), proxyfix::Error>(())
    /// ```
    pub fn policy(self, peers: TrustedProxies) -> Result<Policy, Error> {
        self.builder(peers)?.build()
    }

    /// The same, to be refined.
    ///
    /// ```
    /// use proxyfix::{Field, Preset};
    ///
    /// // This nginx also sets `X-Scheme`.
    /// let policy = Preset::Nginx.builder("loopback".parse()?)?.single(Field::Proto, "X-Scheme").build()?;
    /// assert!(policy.reads(Field::Proto));
    /// # Ok::<(), proxyfix::Error>(())
    /// ```
    ///
    /// Of a provider that adds [several entries](Facts::entries) it is the builder of a [`Topology`], whose
    /// hop says what is read.
    pub fn builder(self, peers: TrustedProxies) -> Result<PolicyBuilder, Error> {
        let facts = self.facts();
        if facts.entries > 1 {
            return Ok(Policy::builder(Topology::new([self.hop(facts.name, peers)?])?));
        }
        facts.check(&peers)?;
        let mut builder = Policy::builder(peers.hops(1)?).family(facts.family());
        if let Some(header) = facts.demanded_header() {
            builder = builder.demands(header);
        }
        if facts.family() == Family::XForwarded {
            return Ok(builder.fields(facts.fields()));
        }
        let others = facts.headers.iter().filter(|header| header.field != Field::For);
        Ok(others
            .fold(builder.fields([Field::For]), |builder, header| builder.single(header.field, header.name)))
    }

    /// The provider as one hop of a [`Topology`], behind or before others.
    ///
    /// A hop whose header holds one address says who the client is and nothing else.
    ///
    /// ```
    /// use proxyfix::{Hop, Policy, Preset, Ranges, Topology};
    ///
    /// let published = Ranges::from_text("173.245.48.0/20\n2400:cb00::/32\n")?.trusted()?;
    /// let policy = Policy::new(Topology::new([
    ///     Hop::new("nginx", "loopback".parse()?),
    ///     Preset::Cloudflare.hop("cloudflare", published)?,
    /// ])?);
    /// # Ok::<(), proxyfix::Error>(())
    /// ```
    pub fn hop(self, name: &str, peers: TrustedProxies) -> Result<Hop, Error> {
        let facts = self.facts();
        facts.check(&peers)?;
        let list = facts.family() == Family::XForwarded;
        let fields = facts.fields().filter(|field| list || *field == Field::For);
        let hop = Hop::new(name, peers).family(facts.family()).fields(fields).entries(facts.entries);
        Ok(match facts.demanded_header() {
            Some(header) => hop.demands(header),
            None => hop,
        })
    }
}

impl std::str::FromStr for Preset {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::from_name(name).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|preset| preset.name()).collect();
            let name: String = name.chars().take(64).collect();
            Error::refused(&format!("{name:?} is not a preset: expected one of {}", names.join(", ")))
        })
    }
}

impl Facts {
    /// The fields that the provider may assert.
    pub fn fields(&self) -> impl Iterator<Item = Field> {
        self.headers.iter().map(|header| header.field)
    }

    fn demanded_header(&self) -> Option<&'static str> {
        self.demands.iter().find_map(|demand| match demand {
            Demand::Header(header) => Some(*header),
            Demand::Peers | Demand::Secret => None,
        })
    }

    fn refuse(&self, reason: &str) -> Error {
        Error::refused(&format!("the preset {:?}: {reason}", self.name))
    }

    fn check(&self, peers: &TrustedProxies) -> Result<(), Error> {
        let header = self.headers.first().map_or("", |header| header.name);
        let who = match self.peers {
            Peers::Published(place) => format!("{} publishes its addresses: {place}", self.provider),
            Peers::YourOwn(who) => who.to_owned(),
            Peers::NotPublished(why) => {
                format!("{why}; say so with TrustedProxies::dangerously_trust_every_peer")
            }
        };
        if peers.trusts_nobody() {
            return Err(self.refuse(&format!("who may send {header}? The set of peers is empty. {who}")));
        }
        if peers.trusts_every_peer() && !matches!(self.peers, Peers::NotPublished(_)) {
            return Err(self.refuse(&format!(
                "every peer is trusted, so whoever connects could write {header}; list the peers. {who}"
            )));
        }
        match peers.declared_hops() {
            None => Ok(()),
            Some(hops) => Err(self.refuse(&format!(
                "the set of peers declares {hops} hops; leave them out, the preset knows what is added"
            ))),
        }
    }

    /// The family in which the client is named.
    fn family(&self) -> Family {
        match self.headers {
            [Header { name, format: Format::Address, .. }, ..] => Family::Single((*name).to_owned()),
            [Header { name, format: Format::AddressAndPort, .. }, ..] => {
                Family::SingleWithPort((*name).to_owned())
            }
            _ => Family::XForwarded,
        }
    }
}

const fn header(name: &'static str, field: Field, format: Format, writes: Writes) -> Header {
    Header { name, field, format, writes }
}

const X_FORWARDED_FOR: Header = header("X-Forwarded-For", Field::For, Format::Chain, Writes::Appends);
const X_FORWARDED_PROTO: Header = header("X-Forwarded-Proto", Field::Proto, Format::Value, Writes::Sets);

const CLOUDFLARE: Facts = Facts {
    name: "cloudflare",
    provider: "Cloudflare",
    headers: &[
        header("CF-Connecting-IP", Field::For, Format::Address, Writes::Sets),
        header("X-Forwarded-Proto", Field::Proto, Format::Value, Writes::Overwrites),
    ],
    entries: 1,
    demands: &[Demand::Peers, Demand::Secret],
    peers: Peers::Published("https://www.cloudflare.com/ips-v4 and https://www.cloudflare.com/ips-v6"),
    setting: Some("Pseudo IPv4 not at Overwrite Headers"),
    caveat: "Zones of other customers connect from the same networks, and a Worker can choose the address \
             that CF-Connecting-IP names in requests within its own zone.",
    documentation: &["https://developers.cloudflare.com/fundamentals/reference/http-headers/"],
    checked: Some("2026-11-21"),
};

const CLOUDFRONT: Facts = Facts {
    name: "cloudfront",
    provider: "Amazon CloudFront",
    headers: &[
        header("CloudFront-Viewer-Address", Field::For, Format::AddressAndPort, Writes::Sets),
        header("CloudFront-Forwarded-Proto", Field::Proto, Format::Value, Writes::Sets),
    ],
    entries: 1,
    demands: &[Demand::Peers, Demand::Secret],
    peers: Peers::Published(
        "https://ip-ranges.amazonaws.com/ip-ranges.json, service CLOUDFRONT_ORIGIN_FACING",
    ),
    setting: Some("an origin request policy that adds both headers"),
    caveat: "Distributions of other customers connect from the same networks. Behind a load balancer of AWS \
             the peer is the balancer, and CloudFront the hop before it.",
    documentation: &[
        "https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/adding-cloudfront-headers.html",
        "https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/add-origin-custom-headers.html",
    ],
    checked: Some("2026-11-21"),
};

const FASTLY: Facts = Facts {
    name: "fastly",
    provider: "Fastly",
    headers: &[header("Fastly-Client-IP", Field::For, Format::Address, Writes::PassesThrough)],
    entries: 1,
    demands: &[Demand::Peers, Demand::Secret],
    peers: Peers::Published("https://api.fastly.com/public-ip-list"),
    setting: Some(
        "VCL that sets Fastly-Client-IP to client.ip where fastly.ff.visits_this_service and req.restarts \
         are 0, and the secret beside it",
    ),
    caveat: "Without that VCL Fastly believes the Fastly-Client-IP that a client sent. X-Forwarded-For is no \
             better: Fastly appends the client's address only where the client came over TLS.",
    documentation: &[
        "https://www.fastly.com/documentation/reference/http/http-headers/Fastly-Client-IP/",
        "https://www.fastly.com/documentation/reference/http/http-headers/X-Forwarded-For/",
    ],
    checked: Some("2026-11-21"),
};

const AKAMAI: Facts = Facts {
    name: "akamai",
    provider: "Akamai",
    headers: &[header("True-Client-IP", Field::For, Format::Address, Writes::Overwrites)],
    entries: 1,
    demands: &[Demand::Peers, Demand::Secret],
    peers: Peers::YourOwn("The peers are the CIDR blocks of your Site Shield map"),
    setting: Some("in the origin behavior enableTrueClientIp on and trueClientIpClientSetting off"),
    caveat: "With trueClientIpClientSetting on, Akamai passes on the address that a client chose. The \
             property may name the header otherwise.",
    documentation: &[
        "https://techdocs.akamai.com/terraform/docs/origin",
        "https://techdocs.akamai.com/property-mgr/reference/latest-site-shield",
    ],
    checked: None,
};

const AZURE_FRONT_DOOR: Facts = Facts {
    name: "azure-front-door",
    provider: "Azure Front Door",
    headers: &[
        header("X-Azure-SocketIP", Field::For, Format::Address, Writes::Sets),
        header("X-Forwarded-Proto", Field::Proto, Format::Value, Writes::Overwrites),
        header("X-Forwarded-Host", Field::Host, Format::Value, Writes::Overwrites),
    ],
    entries: 1,
    demands: &[Demand::Peers, Demand::Header("X-Azure-FDID")],
    peers: Peers::Published(
        "https://www.microsoft.com/download/details.aspx?id=56519, service tag AzureFrontDoor.Backend",
    ),
    setting: None,
    caveat: "Profiles of other customers connect from the same networks: X-Azure-FDID tells them from yours. \
             X-Azure-ClientIP is not read, because a client can choose it.",
    documentation: &[
        "https://learn.microsoft.com/en-us/azure/frontdoor/front-door-http-headers-protocol",
        "https://learn.microsoft.com/en-us/azure/frontdoor/origin-security",
    ],
    checked: Some("2026-11-21"),
};

const AZURE_APPLICATION_GATEWAY: Facts = Facts {
    name: "azure-application-gateway",
    provider: "Azure Application Gateway",
    headers: &[X_FORWARDED_FOR, X_FORWARDED_PROTO],
    entries: 1,
    demands: &[Demand::Peers],
    peers: Peers::YourOwn("The peers are the subnet of the gateway"),
    setting: None,
    caveat: "Each entry has a port. How an IPv6 client is written is not documented; a rewrite rule that sets \
             X-Forwarded-For to {var_add_x_forwarded_for_proxy} leaves the ports out.",
    documentation: &[
        "https://learn.microsoft.com/en-us/azure/application-gateway/how-application-gateway-works",
        "https://learn.microsoft.com/en-us/azure/application-gateway/rewrite-http-headers-url",
    ],
    checked: Some("2026-11-21"),
};

const AWS_ALB: Facts = Facts {
    name: "aws-alb",
    provider: "AWS Application Load Balancer",
    headers: &[X_FORWARDED_FOR, X_FORWARDED_PROTO],
    entries: 1,
    demands: &[Demand::Peers],
    peers: Peers::YourOwn("The peers are the subnets of the balancer, with nothing else in them"),
    setting: Some("routing.http.xff_header_processing.mode at append, the default"),
    caveat: "With the mode preserve the balancer passes on the X-Forwarded-For that a client wrote. Leave \
             routing.http.xff_client_port.enabled off.",
    documentation: &[
        "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/x-forwarded-headers.html",
    ],
    checked: Some("2026-11-21"),
};

const GOOGLE_LOAD_BALANCER: Facts = Facts {
    name: "google-load-balancer",
    provider: "Google Cloud Application Load Balancer",
    headers: &[X_FORWARDED_FOR],
    entries: 2,
    demands: &[Demand::Peers],
    peers: Peers::Published(
        "https://cloud.google.com/load-balancing/docs/firewall-rules: 35.191.0.0/16 and 130.211.0.0/22 for \
         front ends of Google, your proxy-only subnet for regional and internal balancers",
    ),
    setting: None,
    caveat: "The balancer appends the client and then its own address. No file publishes the networks of the \
             front ends; cloud.json lists the machines of customers, who are not to be trusted.",
    documentation: &[
        "https://docs.cloud.google.com/load-balancing/docs/https",
        "https://cloud.google.com/load-balancing/docs/firewall-rules",
    ],
    checked: None,
};

const FLY: Facts = Facts {
    name: "fly",
    provider: "Fly.io",
    headers: &[header("Fly-Client-IP", Field::For, Format::Address, Writes::Sets)],
    entries: 1,
    demands: &[Demand::Peers],
    peers: Peers::NotPublished(
        "Fly.io publishes no addresses of its proxy; from outside nothing else connects",
    ),
    setting: Some("a service with the http handler"),
    caveat: "Machines of your own organization reach each other without the proxy, and can name any client. \
             X-Forwarded-Proto is not read: that a client's own is replaced is not documented.",
    documentation: &[
        "https://fly.io/docs/networking/request-headers/",
        "https://fly.io/docs/networking/services/",
    ],
    checked: Some("2026-11-21"),
};

const HEROKU: Facts = Facts {
    name: "heroku",
    provider: "Heroku",
    headers: &[X_FORWARDED_FOR, X_FORWARDED_PROTO],
    entries: 1,
    demands: &[Demand::Peers],
    peers: Peers::NotPublished(
        "Heroku publishes no addresses of its routers; from outside nothing else connects",
    ),
    setting: None,
    caveat: "Try what the router does with two lines of X-Forwarded-For: in 2016 it was seen to append to the \
             first and to pass on the second, which could name anyone. Dynos of a private space reach each other.",
    documentation: &["https://devcenter.heroku.com/articles/http-routing"],
    checked: Some("2026-11-21"),
};

const NGINX: Facts = Facts {
    name: "nginx",
    provider: "nginx",
    headers: &[header("X-Real-IP", Field::For, Format::Address, Writes::PassesThrough)],
    entries: 1,
    demands: &[Demand::Peers],
    peers: Peers::YourOwn(
        "The peers are the addresses from which your nginx connects, often loopback or unix",
    ),
    setting: Some("proxy_set_header X-Real-IP $remote_addr;"),
    caveat: "Without that line nginx passes on the X-Real-IP that a client sent. A location with a \
             proxy_set_header of its own inherits none.",
    documentation: &["https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_set_header"],
    checked: None,
};

#[cfg(test)]
mod tests {
    use http::Request;
    use http::request::Parts;
    use proxyfix_policy::{Ending, Peer};

    use super::*;
    use crate::{Fix, Origin, Proof, ProxyFix};

    /// The origin of a request with these headers, decided by the preset for one set of peers.
    #[track_caller]
    fn origin(preset: Preset, peers: TrustedProxies, peer: &str, headers: &[(&str, &str)]) -> Origin {
        let mut fix = ProxyFix::of(preset.builder(peers).unwrap());
        let id = "a0a0a0a0-bbbb-cccc-dddd-e1e1e1e1e1e1";
        if preset == Preset::AzureFrontDoor {
            fix = fix.and_proof(Proof::front_door([id]).unwrap());
        }
        let fix = fix.build().unwrap();
        let mut request = Request::get("/").extension(peer.parse::<Peer>().unwrap());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if preset == Preset::AzureFrontDoor {
            request = request.header("x-azure-fdid", id);
        }
        let mut parts: Parts = request.body(()).unwrap().into_parts().0;
        fix.fix(&mut parts);
        for header in preset.facts().headers {
            assert!(!parts.headers.contains_key(header.name), "{} stays", header.name);
        }
        parts.extensions.get::<Origin>().unwrap().clone()
    }

    const PEERS: &str = "192.0.2.0/24, 2001:db8:ff::/48";
    const PEER: &str = "192.0.2.7:40000";

    #[track_caller]
    fn assert_client(preset: Preset, headers: &[(&str, &str)], client: Option<&str>) {
        let found = origin(preset, PEERS.parse().unwrap(), PEER, headers).client();
        assert_eq!(found, client.map(|client| client.parse().unwrap()), "{preset:?} {headers:?}");
    }

    /// A header that holds one address: whoever adds a second value, or a second line, gets no client.
    #[track_caller]
    fn assert_single(preset: Preset, header: &str) {
        let honest = [(header, "203.0.113.9"), ("x-forwarded-for", "6.6.6.6")];
        assert_client(preset, &honest, Some("203.0.113.9"));
        assert_client(preset, &[(header, "2001:db8::9")], Some("2001:db8::9"));
        assert_client(preset, &[(header, "6.6.6.6, 203.0.113.9")], None);
        assert_client(preset, &[(header, "6.6.6.6"), (header, "203.0.113.9")], None);
        // Only a provider's machine is believed.
        let stranger = origin(preset, PEERS.parse().unwrap(), "198.51.100.66:1", &honest);
        assert_eq!(stranger.client(), Some("198.51.100.66".parse().unwrap()));
        assert_eq!(stranger.ending(), Ending::PeerUntrusted);
        // Another provider's header is no claim.
        let other = if header == "X-Real-IP" { "CF-Connecting-IP" } else { "X-Real-IP" };
        let absent = origin(preset, PEERS.parse().unwrap(), PEER, &[(other, "6.6.6.6")]);
        assert_eq!(absent.ending(), Ending::HeaderAbsent);
    }

    /// A chain to which the provider appends one entry.
    #[track_caller]
    fn assert_appended(preset: Preset, entry: &str) {
        assert_client(preset, &[("x-forwarded-for", entry)], Some("203.0.113.9"));
        let forged = format!("127.0.0.1, 6.6.6.6, {entry}");
        assert_client(preset, &[("x-forwarded-for", &forged)], Some("203.0.113.9"));
        // A client in the provider's own networks is a client, and not another hop.
        assert_client(preset, &[("x-forwarded-for", "6.6.6.6, 192.0.2.9")], Some("192.0.2.9"));
        assert_client(preset, &[("x-real-ip", "6.6.6.6"), ("x-forwarded-for", entry)], Some("203.0.113.9"));
        assert_client(preset, &[("x-forwarded-for", "6.6.6.6, oops")], None);
    }

    #[test]
    fn single_headers_name_the_client() {
        for preset in Preset::ALL {
            let client = preset.facts().headers[0];
            if client.format == Format::Address && !preset.takes_every_peer() {
                assert_single(*preset, client.name);
            }
        }
    }

    #[test]
    fn cloudflare_says_the_scheme_too() {
        let headers = [("cf-connecting-ip", "203.0.113.9"), ("x-forwarded-proto", "https")];
        let origin = origin(Preset::Cloudflare, PEERS.parse().unwrap(), PEER, &headers);
        assert_eq!(origin.scheme().as_str(), "https");
    }

    #[test]
    fn cloudfront_writes_ipv6_without_brackets() {
        for (value, client) in [
            ("203.0.113.9:46532", "203.0.113.9"),
            ("2001:db8::9:443", "2001:db8::9"),
            ("2001:db8::1:2:3:4:5:443", "2001:db8::1:2:3:4:5"),
        ] {
            let headers = [("cloudfront-viewer-address", value), ("x-forwarded-for", "6.6.6.6")];
            assert_client(Preset::CloudFront, &headers, Some(client));
        }
        assert_client(Preset::CloudFront, &[("cloudfront-viewer-address", "203.0.113.9")], None);
    }

    #[test]
    fn azure_front_door_names_the_socket_and_not_the_client_ip() {
        let headers = [
            ("x-azure-clientip", "6.6.6.6"),
            ("x-azure-socketip", "203.0.113.9"),
            ("x-forwarded-for", "6.6.6.6, 203.0.113.9"),
            ("x-forwarded-host", "good.example"),
            ("x-forwarded-proto", "https"),
        ];
        let origin = origin(Preset::AzureFrontDoor, PEERS.parse().unwrap(), PEER, &headers);
        assert_eq!(origin.client(), Some("203.0.113.9".parse().unwrap()));
        assert_eq!(origin.host().unwrap().as_str(), "good.example");
        assert_eq!(origin.scheme().as_str(), "https");
    }

    #[test]
    fn azure_front_door_is_nobodys_without_its_id() {
        let builder = || Preset::AzureFrontDoor.builder(PEERS.parse().unwrap()).unwrap();
        assert!(ProxyFix::of(builder()).build().unwrap_err().to_string().contains("and_proof"));
        let secret = Proof::secret("x-secret", ["0123456789abcdef"]).unwrap();
        assert!(ProxyFix::of(builder()).and_proof(secret).build().unwrap_err().to_string().contains("fdid"));
        let hop = Preset::AzureFrontDoor.hop("afd", PEERS.parse().unwrap()).unwrap();
        assert!(ProxyFix::builder(Topology::new([hop]).unwrap()).build().is_err());
        let fix = ProxyFix::new(Preset::AzureFrontDoor.policy(PEERS.parse().unwrap()).unwrap());
        let request = Request::get("/").extension(PEER.parse::<Peer>().unwrap());
        let request = request.header("x-azure-socketip", "203.0.113.9");
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        fix.fix(&mut parts);
        assert_eq!(parts.extensions.get::<Origin>().unwrap().ending(), Ending::PeerUntrusted);
    }

    #[test]
    fn chains_name_the_client() {
        assert_appended(Preset::AzureApplicationGateway, "203.0.113.9:51515");
        assert_appended(Preset::AwsAlb, "203.0.113.9");
        assert_appended(Preset::Heroku, "203.0.113.9");
    }

    #[test]
    fn google_appends_the_client_and_itself() {
        let balancer = "198.51.100.80";
        for chain in [format!("203.0.113.9,{balancer}"), format!("6.6.6.6,203.0.113.9,{balancer}")] {
            assert_client(Preset::GoogleLoadBalancer, &[("x-forwarded-for", &chain)], Some("203.0.113.9"));
        }
        assert_client(Preset::GoogleLoadBalancer, &[("x-forwarded-for", balancer)], None);
    }

    #[test]
    fn platforms_where_nothing_else_connects_take_every_peer() {
        let every = TrustedProxies::dangerously_trust_every_peer;
        let fly =
            |headers: &[(&str, &str)]| origin(Preset::Fly, every(), "172.16.22.162:1", headers).client();
        assert_eq!(
            fly(&[
                ("fly-client-ip", "203.0.113.9"),
                ("x-forwarded-for", "6.6.6.6, 203.0.113.9, 198.51.100.80")
            ]),
            Some("203.0.113.9".parse().unwrap())
        );
        assert_eq!(fly(&[("fly-client-ip", "6.6.6.6"), ("fly-client-ip", "203.0.113.9")]), None);
        let chain = [("x-forwarded-for", "6.6.6.6, 203.0.113.9"), ("x-forwarded-proto", "https")];
        let heroku = origin(Preset::Heroku, every(), "10.1.45.23:1", &chain);
        assert_eq!(heroku.client(), Some("203.0.113.9".parse().unwrap()));
        assert_eq!(heroku.scheme().as_str(), "https");
    }

    #[test]
    fn a_preset_without_its_peers_does_not_build() {
        for preset in Preset::ALL {
            let facts = preset.facts();
            let error = preset.policy(TrustedProxies::none()).unwrap_err().to_string();
            assert!(error.contains(facts.name) && error.contains(facts.headers[0].name), "{error}");
            if let Peers::Published(place) = facts.peers {
                assert!(error.contains(place), "{error}");
            }
            let every = preset.policy(TrustedProxies::dangerously_trust_every_peer());
            assert_eq!(every.is_ok(), preset.takes_every_peer(), "{preset:?}");
            let hops = PEERS.parse::<TrustedProxies>().unwrap().hops(2).unwrap();
            assert!(preset.policy(hops).unwrap_err().to_string().contains("2 hops"));
        }
        assert_eq!(
            Preset::Cloudflare.policy(TrustedProxies::none()).unwrap_err().to_string(),
            "the preset \"cloudflare\": who may send CF-Connecting-IP? The set of peers is empty. Cloudflare \
             publishes its addresses: https://www.cloudflare.com/ips-v4 and https://www.cloudflare.com/ips-v6"
        );
    }

    #[test]
    fn names_are_found_again() {
        for preset in Preset::ALL {
            assert_eq!(preset.name().parse::<Preset>().unwrap(), *preset);
            assert!(preset.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
        }
        let error = "cloud-flare".parse::<Preset>().unwrap_err().to_string();
        assert!(error.starts_with("\"cloud-flare\" is not a preset: expected one of cloudflare, cloudfront"));
    }

    #[test]
    fn a_preset_is_a_hop_among_others() {
        let policy = Policy::new(
            Topology::new([
                Hop::new("nginx", "loopback".parse().unwrap()),
                Preset::Cloudflare.hop("cloudflare", PEERS.parse().unwrap()).unwrap(),
            ])
            .unwrap(),
        );
        let fix = ProxyFix::new(policy);
        for (chain, client) in [("192.0.2.7", "203.0.113.9"), ("198.51.100.66", "198.51.100.66")] {
            let mut parts = Request::get("/")
                .extension("127.0.0.1:1".parse::<Peer>().unwrap())
                .header("x-forwarded-for", chain)
                .header("cf-connecting-ip", "203.0.113.9")
                .body(())
                .unwrap()
                .into_parts()
                .0;
            fix.fix(&mut parts);
            let origin = parts.extensions.get::<Origin>().unwrap();
            assert_eq!(origin.client(), Some(client.parse().unwrap()), "{chain}");
        }
        for preset in Preset::ALL {
            let hop = preset.hop("it", PEERS.parse().unwrap()).unwrap();
            assert!(Topology::new([hop]).is_ok(), "{preset:?}");
            assert!(preset.hop("it", TrustedProxies::none()).is_err());
        }
    }

    #[test]
    fn facts_are_consistent() {
        for preset in Preset::ALL {
            let facts = preset.facts();
            let [client, others @ ..] = facts.headers else { panic!("{preset:?} names no header") };
            assert_eq!(client.field, Field::For);
            assert!(others.iter().all(|header| header.format == Format::Value && header.field != Field::For));
            assert!(facts.demands.contains(&Demand::Peers));
            assert!(facts.entries == 1 || client.format == Format::Chain);
            assert!(client.writes != Writes::PassesThrough || facts.setting.is_some(), "{preset:?}");
            assert!(facts.documentation.iter().all(|page| page.starts_with("https://")));
        }
    }

    #[test]
    fn the_tables_of_the_documentation_are_the_data() {
        let rows: Vec<&str> =
            include_str!("presets.rs").lines().filter_map(|line| line.strip_prefix("//! | `")).collect();
        let facts = Preset::ALL.iter().map(|preset| preset.facts());
        let expected: Vec<String> = facts.clone().map(read_row).chain(facts.map(setting_row)).collect();
        assert_eq!(rows, expected, "\n//! | `{}\n", expected.join("\n//! | `"));
    }

    fn read_row(facts: &Facts) -> String {
        let headers: Vec<String> = facts.headers.iter().map(described).collect();
        let demands: Vec<&str> = facts
            .demands
            .iter()
            .map(|demand| match demand {
                Demand::Peers => "peers",
                Demand::Secret => "a secret",
                Demand::Header(header) => header,
            })
            .collect();
        let (entries, checked) = (facts.entries, facts.checked.unwrap_or("quoted by others"));
        let pages: Vec<String> = facts.documentation.iter().map(|page| format!("<{page}>")).collect();
        let (headers, demands, pages) = (headers.join("; "), demands.join(", "), pages.join(" "));
        format!("{}` | {headers} | {entries} | {demands} | {checked}: {pages} |", facts.name)
    }

    fn described(header: &Header) -> String {
        let format = match header.format {
            Format::AddressAndPort => " with a port",
            Format::Address | Format::Chain | Format::Value => "",
        };
        let writes = match header.writes {
            Writes::Overwrites => "overwritten",
            Writes::Sets => "set",
            Writes::Appends => "appended",
            Writes::PassesThrough => "passed through",
        };
        format!("{} from `{}`{format}, {writes}", header.field.as_str(), header.name)
    }

    fn setting_row(facts: &Facts) -> String {
        format!("{}` | {} | {} |", facts.name, facts.setting.unwrap_or("nothing"), facts.caveat)
    }

    impl Preset {
        fn takes_every_peer(self) -> bool {
            matches!(self.facts().peers, Peers::NotPublished(_))
        }
    }
}

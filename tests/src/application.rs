//! The application of the deployments: one router behind every gateway, and over plain HTTP to compare.

use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{self, Request, State};
use axum::response::IntoResponse;
use axum::routing::{any, get};
use axum::{Json, Router};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LOCATION, SET_COOKIE};
use http::{HeaderName, Response, StatusCode};
use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use hyper::body::Bytes;
use proxyfix::{Fix, LighttpdCgiRootFix, Mount, ScriptNameStripper};
use proxyfix_axum::wrap;
use proxyfix_cgi::{Gateway, Limits, Listener, RemoteUser};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::process::{Process, link, pause, session};
use crate::web::{ATTEMPTS, Listening, Place, free_port};
use crate::{loopback, within};

/// What the application is told, in the file `yourapplication.json` beside its program: whoever starts
/// it may pass on neither arguments nor variables.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// How it serves.
    pub serve: Serve,
    /// What mends script name and path.
    pub repair: Repair,
    /// Whether it believes the web server who the user is.
    #[serde(default)]
    trust_remote_user: bool,
    http: SocketAddr,
    gateway: SocketAddr,
    run: PathBuf,
}

/// How the application serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Serve {
    /// HTTP, by axum: what the gateways are compared with.
    Http,
    /// As whoever starts it wants it: FastCGI on standard input, or CGI.
    Auto,
    /// FastCGI on `/run/yourapplication/fastcgi.sock`.
    FastCgiUnix,
    /// FastCGI on `127.0.0.1:9000`.
    FastCgiTcp,
    /// SCGI on `/run/yourapplication/scgi.sock`.
    ScgiUnix,
    /// SCGI on `127.0.0.1:9000`.
    ScgiTcp,
}

/// What mends script name and path, with the prefix where the application is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Repair {
    /// Nothing: they are right.
    Nothing,
    /// The mount is declared to the gateway.
    Declared(String),
    /// [`LighttpdCgiRootFix`].
    LighttpdCgiRootFix(String),
    /// [`ScriptNameStripper`].
    ScriptNameStripper(String),
}

/// What [`main`] reads.
const SETTINGS: &str = "yourapplication.json";

impl Place {
    /// Puts `program` where the files of the deployment expect it, under both its names, and tells it
    /// how to serve. Nobody starts it yet.
    pub fn install(&self, program: &str, serve: Serve, repair: Repair) {
        for name in ["yourapplication", "yourapplication.fcgi"] {
            if !self.srv().join(name).exists() {
                link(Path::new(program), &self.srv().join(name));
            }
        }
        let Self { http, gateway, .. } = *self;
        let trust_remote_user = false;
        self.tell(&Settings { serve, repair, trust_remote_user, http, gateway, run: self.run() });
    }

    fn tell(&self, settings: &Settings) {
        let settings = serde_json::to_vec(&settings).expect("settings that can be written");
        fs::write(self.srv().join(SETTINGS), settings).expect("a folder to write to");
    }

    /// Tells the application that was installed to believe the web server who the user is.
    pub fn trust_remote_user(&self) {
        let mut settings = Settings::read(&self.srv().join(SETTINGS));
        settings.trust_remote_user = true;
        self.tell(&settings);
    }

    /// Installs `program`, starts it, and waits until it listens.
    pub async fn start_application(&mut self, program: &str, serve: Serve, repair: Repair) -> Process {
        for _ in 0..ATTEMPTS {
            self.install(program, serve, repair.clone());
            let log = self.path().join("application.log");
            let command = session(self.srv().join("yourapplication"));
            let process = Process::start("the application", command, &log);
            let (address, socket) = match serve {
                Serve::Auto | Serve::Http => (self.http, None),
                Serve::FastCgiTcp | Serve::ScgiTcp => (self.gateway, None),
                Serve::FastCgiUnix => (self.gateway, Some("fastcgi.sock")),
                Serve::ScgiUnix => (self.gateway, Some("scgi.sock")),
            };
            if let Some(socket) = socket {
                let socket = self.run().join(socket);
                let mut process = process;
                process.until("a listening socket", |_| UnixStream::connect(&socket).is_ok()).await;
                return process;
            }
            let mut process = Listening { process, address };
            if process.comes().await {
                return process.process;
            }
            self.http = free_port(loopback());
            self.gateway = free_port(loopback());
        }
        panic!("the application found {ATTEMPTS} free ports taken");
    }

    /// The ids of `/recorded/{id}` that the application was asked for.
    pub fn recorded(&self) -> HashSet<String> {
        let record = fs::read_to_string(self.run().join(RECORD)).unwrap_or_default();
        record.lines().map(str::to_owned).collect()
    }

    /// Waits until a handler that [marks](router) `name` began to wait.
    pub async fn began(&self, name: &str) {
        let mark = self.run().join(name).with_extension("began");
        within(&format!("a handler that waits: {name}"), async {
            while fs::read_to_string(&mark).unwrap_or_default().is_empty() {
                pause().await;
            }
        })
        .await;
    }

    /// Waits until it was dropped, or its process ended.
    pub async fn gone(&self, name: &str) {
        let mark = self.run().join(name);
        let process = fs::read_to_string(mark.with_extension("began")).expect("a handler that began");
        let process = Path::new("/proc").join(process).join("exe");
        within(&format!("a handler that is dropped: {name}"), async {
            // What ended and was not waited for has no program any more.
            while !mark.with_extension("gone").exists() && process.read_link().is_ok() {
                pause().await;
            }
        })
        .await;
    }
}

/// Does what the settings beside the program say.
pub async fn main() {
    let program = std::env::current_exe().expect("a program that has a file");
    let settings = Settings::read(&program.with_file_name(SETTINGS));
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    if let Err(error) = settings.serve().await {
        panic!("{error}");
    }
}

impl Settings {
    fn read(file: &Path) -> Self {
        let settings = fs::read(file).expect("settings beside the program");
        serde_json::from_slice(&settings).expect("settings that can be read")
    }

    async fn serve(self) -> Result<(), Box<dyn Error>> {
        let app = wrap(router(self.run.clone()), repair(&self.repair));
        let http = self.http.to_string();
        let tcp = || Listener::tcp(self.gateway.to_string());
        // The web server may be another user.
        let unix = |name| Listener::unix(self.run.join(name)).mode(0o666);
        let mut gateway = Gateway::new().limits(Limits::default().body(100 << 20));
        if self.trust_remote_user {
            gateway = gateway.trust_remote_user();
        }
        if let Repair::Declared(prefix) = &self.repair {
            gateway = gateway.mount(prefix.parse()?);
        }
        match self.serve {
            Serve::Http => {
                let listener = TcpListener::bind(self.http).await?;
                let app = app.into_make_service_with_connect_info::<SocketAddr>();
                return Ok(axum::serve(listener, app).await?);
            }
            Serve::Auto => gateway.serve(app, &http).await,
            Serve::FastCgiUnix => gateway.fastcgi(unix("fastcgi.sock"), app).await,
            Serve::FastCgiTcp => gateway.fastcgi(tcp(), app).await,
            Serve::ScgiUnix => gateway.scgi(unix("scgi.sock"), app).await,
            Serve::ScgiTcp => gateway.scgi(tcp(), app).await,
        }?;
        Ok(())
    }
}

fn repair(repair: &Repair) -> Arc<Box<dyn Fix + Send + Sync>> {
    let prefix = |text: &str| text.parse().expect("a prefix");
    Arc::new(match repair {
        Repair::Nothing | Repair::Declared(_) => Box::new(()),
        Repair::LighttpdCgiRootFix(root) => Box::new((AsSent, LighttpdCgiRootFix::at(prefix(root)))),
        Repair::ScriptNameStripper(name) => Box::new(ScriptNameStripper::to(prefix(name))),
    })
}

/// Over plain HTTP no script name is stated: the path is all there is.
struct AsSent;

impl Fix for AsSent {
    fn fix(&self, parts: &mut http::request::Parts) {
        if parts.extensions.get::<Mount>().is_none() {
            parts.extensions.insert(Mount::root());
        }
    }
}

/// The application.
///
/// | path | answer |
/// | --- | --- |
/// | `/status/{code}` | this status, with what belongs to it |
/// | `/located` | 200, with a `Location`, which means nothing there |
/// | `/process` | the id of the process |
/// | `/repeated` | several lines of one header, and of `Set-Cookie` |
/// | `/early` | 403, and the body is not read |
/// | `/download/{octets}`, `/sized/{octets}` | so many octets, in pieces; their length not stated, stated |
/// | `/slow/{pieces}` | so many pieces, each a little later |
/// | `/recorded/{id}` | a few pieces, each a little later; the id is recorded before |
/// | `/cut/{octets}`, `/open/{octets}` | an error after so many octets; more were stated, nothing was |
/// | `/hang/{mark}` | nothing, ever; marks `{mark}.began`, and `{mark}.gone` when nobody waits any more |
/// | `/drip/{mark}` | no end; the same marks |
/// | any other | what is seen of the request, and length and digest of its body |
pub fn router(marks: PathBuf) -> Router {
    Router::new()
        .route("/status/{code}", any(status))
        .route("/located", any(([(LOCATION, "/elsewhere")], "located\n")))
        .route("/process", any(std::process::id().to_string()))
        .route("/repeated", any(repeated))
        .route("/early", any((StatusCode::FORBIDDEN, "not for you\n")))
        .route("/download/{octets}", get(download))
        .route("/sized/{octets}", get(sized))
        .route("/slow/{pieces}", get(slow))
        .route("/recorded/{id}", get(recorded))
        .route("/cut/{octets}", get(cut))
        .route("/open/{octets}", get(open))
        .route("/hang/{mark}", get(hang))
        .route("/drip/{mark}", get(drip))
        .fallback(seen)
        .with_state(marks)
}

/// Headers that a server adds on the way of one protocol and not of the other.
const OF_THE_WAY: [&str; 8] = [
    "connection",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-host",
    "forwarded",
    "via",
];

async fn seen(request: Request) -> Response<Body> {
    let (parts, mut body) = request.into_parts();
    let mut digest = Digest::default();
    let mut broken = false;
    while let Some(frame) = body.frame().await {
        match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(data)) => digest.add(&data),
            Ok(Err(_)) => {}
            Err(_) => broken = true,
        }
    }
    let mut headers = BTreeMap::<&str, Vec<String>>::new();
    for (name, value) in parts.headers.iter().filter(|(name, _)| !OF_THE_WAY.contains(&name.as_str())) {
        headers.entry(name.as_str()).or_default().push(value.as_bytes().escape_ascii().to_string());
    }
    let mount = parts.extensions.get::<Mount>();
    let json = Json(json!({
        "method": parts.method.as_str(),
        "uri": parts.uri.to_string(),
        "mount": mount.map(|it| it.prefix().as_str()),
        "user": parts.extensions.get::<RemoteUser>().map(|it| &it.0),
        "headers": headers,
        "body": { "length": digest.length, "digest": digest.text(), "broken": broken },
    }));
    json.into_response()
}

/// What the application says of a body.
#[derive(Default)]
pub struct Digest {
    length: u64,
    hasher: DefaultHasher,
}

impl Digest {
    /// Takes the next octets.
    pub fn add(&mut self, octets: &[u8]) {
        self.length += octets.len() as u64;
        self.hasher.write(octets);
    }

    fn text(&self) -> String {
        format!("{:016x}", self.hasher.finish())
    }

    /// What is seen of a body of these octets.
    pub fn seen(octets: &[u8]) -> Value {
        let mut digest = Self::default();
        digest.add(octets);
        json!({ "length": digest.length, "digest": digest.text(), "broken": false })
    }
}

async fn status(extract::Path(code): extract::Path<u16>) -> Response<Body> {
    let code = StatusCode::from_u16(code).expect("a status");
    let answer = Response::builder().status(code);
    let answer = match code.as_u16() {
        // Nothing is said of what it is.
        201 => answer,
        _ => answer.header(CONTENT_TYPE, "text/plain"),
    };
    let answer = match code.as_u16() {
        304 => answer.header(ETAG, "\"7\"").header(CACHE_CONTROL, "max-age=7"),
        301..=308 => answer.header(LOCATION, "/elsewhere?a=%2F"),
        _ => answer,
    };
    let bodiless = matches!(code.as_u16(), 204 | 304);
    let body = if bodiless { Body::empty() } else { format!("{code}\n").into() };
    answer.body(body).expect("a response")
}

async fn repeated() -> Response<Body> {
    let answer = Response::builder()
        .header(CONTENT_TYPE, "text/plain; charset=utf-8")
        .header(SET_COOKIE, "a=1; Path=/")
        .header(SET_COOKIE, "b=\"2, 3\"; Expires=Wed, 21 Oct 2037 07:28:00 GMT")
        .header("x-repeated", "one")
        .header("x-repeated", "two, three")
        .header("x-empty", "")
        .header("x-utf8", "caf\u{e9}".as_bytes());
    answer.body("repeated\n".into()).expect("a response")
}

/// Octets that are not the same anywhere.
pub fn octets(count: usize) -> Vec<u8> {
    const NUMBER: usize = size_of::<u64>();
    let letters: Vec<u8> = (0..=u8::MAX).cycle().take(4096 - NUMBER).collect();
    let numbers = (0_u64..).map(u64::to_be_bytes);
    let mut octets = Vec::with_capacity(count + 4096);
    for number in numbers.take(count.div_ceil(4096)) {
        octets.extend(number);
        octets.extend(&letters);
    }
    octets.truncate(count);
    octets
}

/// Octets of a piece of a download.
const PIECE: usize = 16 << 10;

/// A body that `write` writes.
fn written<W: Future<Output: Send> + Send + 'static>(write: impl FnOnce(Writer) -> W) -> Body {
    let (sender, body) = Channel::new(1);
    tokio::spawn(write(Writer(sender)));
    Body::new(body)
}

struct Writer(Sender<Bytes, std::io::Error>);

impl Writer {
    /// False where nobody reads any more.
    async fn write(&mut self, octets: impl Into<Bytes>) -> bool {
        self.0.send_data(octets.into()).await.is_ok()
    }

    async fn octets(&mut self, count: usize) {
        for piece in octets(count).chunks(PIECE) {
            if !self.write(piece.to_vec()).await {
                return;
            }
        }
    }

    fn fail(self) {
        self.0.abort(std::io::Error::other("an error in the middle, as asked for"));
    }
}

/// What a stream is.
const OCTETS: [(HeaderName, &str); 1] = [(CONTENT_TYPE, "application/octet-stream")];

/// What is said of a body of so many octets.
fn of_length(octets: usize) -> [(HeaderName, String); 2] {
    [(CONTENT_TYPE, OCTETS[0].1.to_owned()), (CONTENT_LENGTH, octets.to_string())]
}

async fn download(extract::Path(count): extract::Path<usize>) -> impl IntoResponse {
    (OCTETS, written(async move |mut writer| writer.octets(count).await))
}

async fn sized(extract::Path(count): extract::Path<usize>) -> impl IntoResponse {
    (of_length(count), written(async move |mut writer| writer.octets(count).await))
}

async fn slow(extract::Path(pieces): extract::Path<usize>) -> impl IntoResponse {
    let body = written(async move |mut writer| {
        for piece in 0..pieces {
            sleep(Duration::from_millis(20)).await;
            writer.write(format!("piece {piece}\n")).await;
        }
    });
    (OCTETS, body)
}

async fn recorded(
    State(marks): State<PathBuf>,
    extract::Path(id): extract::Path<String>,
) -> impl IntoResponse {
    // Appended in one write, whoever else appends.
    let record = fs::File::options().create(true).append(true).open(marks.join(RECORD));
    record.and_then(|mut file| file.write_all(format!("{id}\n").as_bytes())).expect("a folder to write to");
    let body = written(async move |mut writer| {
        for piece in record_of(&id) {
            sleep(Duration::from_millis(10)).await;
            writer.write(piece).await;
        }
    });
    (OCTETS, body)
}

/// What `/recorded/{id}` answers, in pieces.
pub fn record_of(id: &str) -> Vec<String> {
    ["begin", "middle", "end"].map(|part| format!("{part} of {id}\n")).to_vec()
}

/// Where requests are recorded.
const RECORD: &str = "record";

async fn cut(extract::Path(count): extract::Path<usize>) -> impl IntoResponse {
    (of_length(count + 100_000), failing(count))
}

async fn open(extract::Path(count): extract::Path<usize>) -> impl IntoResponse {
    (OCTETS, failing(count))
}

fn failing(count: usize) -> Body {
    written(async move |mut writer| {
        writer.octets(count).await;
        writer.fail();
    })
}

/// Marks that somebody waits, and in which process; and, when it is dropped, that nobody does.
struct Waiting(PathBuf);

impl Waiting {
    fn new(marks: &Path, name: &str) -> Self {
        let mark = Self(marks.join(name));
        fs::write(mark.0.with_extension("began"), std::process::id().to_string())
            .expect("a folder to write to");
        mark
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = fs::write(self.0.with_extension("gone"), "");
    }
}

async fn hang(State(marks): State<PathBuf>, extract::Path(name): extract::Path<String>) -> Body {
    let _waiting = Waiting::new(&marks, &name);
    std::future::pending().await
}

async fn drip(State(marks): State<PathBuf>, extract::Path(name): extract::Path<String>) -> Body {
    let waiting = Waiting::new(&marks, &name);
    written(async move |mut writer| {
        let _waiting = waiting;
        while writer.write("drip\n").await {
            sleep(Duration::from_millis(5)).await;
        }
    })
}

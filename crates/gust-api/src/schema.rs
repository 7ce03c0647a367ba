//! The words of `gust-types` as the API's description shows them.
//!
//! `gust-types` knows nothing of OpenAPI, so its types are described here a second time. These types are never made:
//! they exist for their schema, and a test compares each with what `serde` really writes.
#![expect(dead_code, reason = "described, never made")]

use std::collections::BTreeMap;

use utoipa::ToSchema;

mod events;
mod later;
pub use events::*;
pub use later::*;

/// A DNS label: lower-case letters, digits and `-`, starting with a letter.
#[derive(ToSchema)]
#[schema(
    pattern = "^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$",
    max_length = 63,
    example = "hello"
)]
pub struct Name(String);

/// The app's own name for a resource.
#[derive(ToSchema)]
#[schema(
    pattern = "^[A-Za-z][A-Za-z0-9_-]{0,62}$",
    max_length = 63,
    example = "default"
)]
pub struct Label(String);

/// A topic: one of the project's own, or the changes of a resource, such as `kv:default`.
#[derive(ToSchema)]
#[schema(
    pattern = "^([a-z]+:)?[A-Za-z][A-Za-z0-9_-]{0,62}$",
    example = "orders"
)]
pub struct TopicName(String);

/// SHA-256 of the bytes.
#[derive(ToSchema)]
#[schema(
    pattern = "^sha256:[0-9a-f]{64}$",
    example = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)]
pub struct DigestText(String);

/// 128 bits as hex digits; sorts by time.
#[derive(ToSchema)]
#[schema(
    pattern = "^[0-9a-f]{32}$",
    example = "019a3c5e7b21d4f08c6e5a9b3f7d1e42"
)]
pub struct CallIdText(String);

/// A number of bytes with its unit.
#[derive(ToSchema)]
#[schema(example = "64MiB")]
pub struct Size(String);

/// A length of time with its unit.
#[derive(ToSchema)]
#[schema(example = "30s")]
pub struct Duration(String);

/// An amount of money as decimals; nine after the point at most.
#[derive(ToSchema)]
#[schema(pattern = "^[0-9]+(\\.[0-9]{1,9})?$", example = "0.0000002")]
pub struct Amount(String);

/// What went wrong.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Kind {
    /// The input is malformed or breaks a rule.
    Invalid,
    /// The input is understood and not allowed.
    Denied,
    /// The thing named does not exist.
    NotFound,
    /// The thing exists in a state that does not permit this.
    Conflict,
    /// A limit is reached.
    Exhausted,
    /// Something needed is not there right now.
    Unavailable,
    /// It took longer than it may.
    Timeout,
    /// The function's own code failed.
    Failed,
    /// A fault of the platform itself.
    Internal,
}

/// Whose fault it is.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Blame {
    /// Whoever made the request.
    Caller,
    /// The deployed code.
    Function,
    /// Gust or the machine under it.
    Platform,
}

/// What a manifest describes.
#[derive(ToSchema)]
pub struct AppSpec {
    /// Unique in its project.
    name: Name,
    /// For people; not interpreted.
    #[schema(required = false)]
    version: String,
    /// For people; not interpreted.
    #[schema(required = false)]
    description: String,
    /// The app's variables by name.
    #[schema(required = false)]
    variables: BTreeMap<String, VariableSpec>,
    /// Functions by name.
    functions: BTreeMap<String, FunctionSpec>,
    /// HTTP routes, in the manifest's order.
    #[schema(required = false)]
    routes: Vec<RouteSpec>,
    /// Host names besides `<app>.<domain>`.
    #[schema(required = false)]
    hosts: Vec<String>,
    /// What starts its functions besides requests.
    #[schema(required = false)]
    events: EventsSpec,
}

/// A variable that a deploy may set.
#[derive(ToSchema)]
pub struct VariableSpec {
    /// For people.
    #[schema(required = false)]
    description: String,
    /// True when the app does not serve without it.
    #[schema(required = false)]
    required: bool,
    /// Used when nothing sets it.
    default: Option<String>,
    /// Encrypted at rest, never printed.
    #[schema(required = false)]
    secret: bool,
}

/// One function.
#[derive(ToSchema)]
pub struct FunctionSpec {
    /// For people.
    #[schema(required = false)]
    description: String,
    /// Where its code is.
    source: Source,
    /// How the command line builds it; a node keeps it and does nothing with it.
    build: Option<BuildSpec>,
    /// Environment variables.
    #[schema(required = false)]
    environment: BTreeMap<String, String>,
    /// The function's variables; values are templates over the app's.
    #[schema(required = false)]
    variables: BTreeMap<String, String>,
    /// Files it may read.
    #[schema(required = false)]
    files: Vec<FileSpec>,
    /// Key-value stores it may open.
    #[schema(required = false)]
    kv: Vec<Label>,
    /// SQL databases it may open.
    #[schema(required = false)]
    sql: Vec<Label>,
    /// Queues it may publish to.
    #[schema(required = false)]
    queues: Vec<Label>,
    /// Topics it may publish to.
    #[schema(required = false)]
    topics: Vec<Label>,
    /// Buckets it may open.
    #[schema(required = false)]
    blobs: Vec<Label>,
    /// Hosts it may reach, as `scheme://host[:port]`.
    #[schema(required = false)]
    outbound: Vec<String>,
    /// What it may take.
    #[schema(required = false)]
    limits: Limits,
    /// How its instances are reused.
    #[schema(required = false)]
    reuse: Reuse,
    /// Asked once before a revision serves.
    health: Option<HealthSpec>,
    /// How its calls are made later.
    r#async: Option<LaterSpec>,
    /// How a program is told its request, when that is CGI.
    cgi: Option<CgiSpec>,
}

/// CGI (RFC 3875) for programs.
#[derive(ToSchema)]
pub struct CgiSpec {
    /// Arguments, separated by spaces; `${SCRIPT_NAME}` and `${ARGS}` are replaced.
    #[schema(required = false)]
    argv: String,
}

/// Where bytes are. A node accepts artifacts only.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Source {
    /// Uploaded bytes.
    Artifact {
        /// Their digest.
        digest: DigestText,
        /// Their size in bytes.
        size: u64,
    },
}

/// How the command line builds a function.
#[derive(ToSchema)]
pub struct BuildSpec {
    /// Shell commands, in order.
    #[schema(required = false)]
    command: Vec<String>,
    /// Where they run.
    workdir: Option<String>,
    /// Globs that are watched.
    #[schema(required = false)]
    watch: Vec<String>,
}

/// One file.
#[derive(ToSchema)]
pub struct FileSpec {
    /// Absolute path, `/`-separated, without `..`.
    path: String,
    /// Its bytes.
    source: Source,
}

/// A probe before a revision serves.
#[derive(ToSchema)]
pub struct HealthSpec {
    /// Path that must answer 2xx.
    path: String,
    /// How long it may take. Default 5 s.
    #[schema(required = false)]
    timeout: Duration,
}

/// One HTTP route.
#[derive(ToSchema)]
pub struct RouteSpec {
    /// `/exact`, `/users/:id` or `/prefix/...`; absent for a private function.
    path: Option<String>,
    /// What answers.
    target: RouteTarget,
}

/// What answers a route.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum RouteTarget {
    /// A function of the app.
    Function(String),
    /// A fixed answer.
    Response {
        /// Status code. Default 200.
        #[schema(required = false)]
        status: u16,
        /// Header names and values.
        #[schema(required = false)]
        headers: BTreeMap<String, String>,
        /// Body.
        #[schema(required = false)]
        body: String,
    },
    /// Static files. The route's path ends in `/...`.
    Files {
        /// The files; paths are below the route's prefix.
        files: Vec<FileSpec>,
        /// Served for a folder. Default `index.html`.
        #[schema(required = false)]
        index: String,
        /// Served with 200 for a path that no file has.
        fallback: Option<String>,
    },
}

/// What a function may take. Every field has a default.
#[derive(ToSchema)]
pub struct Limits {
    /// Linear memory of one instance.
    #[schema(required = false)]
    memory: Size,
    /// CPU time of one call.
    #[schema(required = false)]
    cpu_time: Duration,
    /// Wall time of one call.
    #[schema(required = false)]
    wall_time: Duration,
    /// Calls in flight at once.
    #[schema(required = false)]
    concurrency: u32,
    /// Calls waiting for one of those places.
    #[schema(required = false)]
    queue: u32,
    /// The longest a call waits.
    #[schema(required = false)]
    queue_time: Duration,
    /// Calls per second from one caller address; 0 means no limit.
    #[schema(required = false)]
    rate: u32,
    /// Request body.
    #[schema(required = false)]
    request_body: Size,
    /// Response body.
    #[schema(required = false)]
    response_body: Size,
    /// Elements of all tables of an instance.
    #[schema(required = false)]
    table_elements: u32,
    /// Core instances inside one component instance.
    #[schema(required = false)]
    core_instances: u32,
    /// Log bytes kept of one call.
    #[schema(required = false)]
    log_bytes: Size,
}

/// How instances are reused; absent fields are the runtime's own defaults.
#[derive(ToSchema)]
pub struct Reuse {
    /// Calls in an instance's life.
    calls: Option<u32>,
    /// Calls at the same time.
    concurrent: Option<u32>,
    /// How long an idle instance is kept.
    idle: Option<Duration>,
}

/// What one call took.
#[derive(ToSchema)]
pub struct Usage {
    /// The call.
    call: CallIdText,
    /// What was called.
    function: FunctionKey,
    /// Which revision served.
    revision: u64,
    /// What started it.
    trigger: Trigger,
    /// Accepted at, Unix microseconds.
    start_us: u64,
    /// From accept to settle, microseconds.
    wall_us: u64,
    /// Time the guest was really running, microseconds.
    cpu_us: u64,
    /// Memory high water, bytes.
    memory_peak: u64,
    /// Memory high water in MB times milliseconds.
    memory_mb_ms: u64,
    /// Request body bytes.
    bytes_in: u64,
    /// Response body bytes.
    bytes_out: u64,
    /// Host calls.
    host: HostCalls,
    /// How its instance came to be.
    start: Start,
    /// How it ended.
    outcome: Outcome,
    /// HTTP status; 0 when the caller was gone before.
    status: u16,
    /// Where the time before the first byte went.
    phases: Phases,
}

/// Where a function lives.
#[derive(ToSchema)]
pub struct FunctionKey {
    /// The tenant.
    project: Name,
    /// The app.
    app: Name,
    /// The function.
    function: Name,
}

/// What started a call.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Trigger {
    /// An HTTP request from outside.
    Http,
    /// Another function of the same app.
    Internal,
    /// The control API.
    Invoke,
    /// The probe before a revision serves.
    Health,
    /// Messages of a queue.
    Queue,
    /// An event of a topic.
    Topic,
    /// A schedule.
    Schedule,
    /// A call that was to be made later.
    Async,
}

/// How an instance came to be.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Start {
    /// The code was mapped for this call.
    Cold,
    /// A new instance of mapped code.
    Warm,
    /// An instance that had served before.
    Reused,
    /// No instance.
    None,
}

/// How a call ended.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Outcome {
    /// The function answered.
    Ok,
    /// It trapped, exited or gave no valid answer.
    Failed,
    /// It used its CPU time.
    CpuLimit,
    /// It used its wall time.
    WallLimit,
    /// It asked for more memory than it may have.
    MemoryLimit,
    /// A body was larger than it may be.
    BodyLimit,
    /// The caller went away.
    Cancelled,
    /// The platform failed.
    Platform,
}

/// Host calls of one call.
#[derive(ToSchema)]
pub struct HostCalls {
    /// Key-value operations.
    kv: u32,
    /// SQL statements.
    sql: u32,
    /// Outbound HTTP requests.
    http_out: u32,
}

/// Where the time before the first byte went, microseconds.
#[derive(ToSchema)]
pub struct Phases {
    /// Waiting to be admitted and for a place.
    queue_us: u32,
    /// Mapping the code.
    map_us: u32,
    /// Linking it.
    link_us: u32,
    /// Making the instance.
    instantiate_us: u32,
    /// To the head of the response.
    first_byte_us: u32,
}

#[cfg(test)]
mod tests;

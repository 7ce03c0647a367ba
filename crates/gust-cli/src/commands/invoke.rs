//! `gust invoke`: call a function through the control API.

use std::{io::Read as _, str::FromStr};

use gust_types::{
    Body, Error, Result,
    call::{empty, full},
    later::CallbackUrl,
};
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::BodyExt as _;

use crate::{
    commands::call,
    here::{self, Target},
    output,
    remote::Remote,
};

/// The largest body that is sent.
const MAX_BODY: u64 = 256 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// APP/FUNCTION, or APP when it has one function [default: the app of this folder]
    target: Option<Target>,
    /// The request's method [default: POST with --data, GET without]
    #[arg(short = 'X', long)]
    method: Option<Method>,
    /// The request's path and query
    #[arg(short, long, default_value = "/")]
    path: String,
    /// A header; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<Header>,
    /// The body: text, @FILE, or @- for stdin
    #[arg(short, long, value_name = "TEXT")]
    data: Option<String>,
    /// Show the answer's headers on stderr
    #[arg(short, long)]
    include: bool,
    /// Do not wait: the node keeps the call and makes it later. Prints its id
    #[arg(long = "async")]
    later: bool,
    /// With --async, wait for the result all the same and print that
    #[arg(long, requires = "later")]
    wait: bool,
    /// With --async: of two calls with the same key within a day the second is the first
    #[arg(long, value_name = "KEY", requires = "later")]
    idempotency_key: Option<String>,
    /// With --async: what comes of it is posted there, signed, when it is over
    #[arg(long, value_name = "URL", requires = "later")]
    callback: Option<CallbackUrl>,
    #[command(flatten)]
    remote: Remote,
}

/// `Name: value`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Header(HeaderName, HeaderValue);

impl FromStr for Header {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let fault = || Error::invalid("write it as NAME: VALUE");
        let (name, value) = text.split_once(':').ok_or_else(fault)?;
        let name = HeaderName::try_from(name.trim()).map_err(|_| fault())?;
        let value = HeaderValue::try_from(value.trim()).map_err(|_| fault())?;
        Ok(Self(name, value))
    }
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    let target = here::target(args.target.as_ref())?;
    let client = args.remote.client()?;
    let function = here::only_function(&args.remote, &client, &target).await?;
    let request = request(args)?;
    if args.later {
        let key = args.idempotency_key.as_deref();
        let accepted = client
            .invoke_later(
                &args.remote.project,
                &target.app,
                &function,
                request,
                key,
                args.callback.as_ref(),
            )
            .await
            .map_err(|e| args.remote.explain(e))?;
        if accepted.duplicate {
            output::say("there is a call with this key already");
        }
        if args.wait {
            return call::result(&args.remote, accepted.id, true, args.include).await;
        }
        output::line(&accepted.id.to_string())?;
        return Ok(crate::OK);
    }
    let started = gust_task::clock::now();
    let invoked = client
        .invoke(&args.remote.project, &target.app, &function, request)
        .await
        .map_err(|e| args.remote.explain(e))?;
    let (head, mut body) = invoked.response.into_parts();
    let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let call = invoked
        .call
        .map(|id| format!("  call {id}"))
        .unwrap_or_default();
    output::say(&format!("{}  {}{call}", head.status, output::micros(took)));
    if args.include {
        for (name, value) in &head.headers {
            output::say(&format!(
                "{name}: {}",
                String::from_utf8_lossy(value.as_bytes())
            ));
        }
    }
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            output::out(&data)?;
        }
    }
    Ok(match head.status.as_u16() {
        500.. => crate::ANSWERED_WITH_FAILURE,
        _ => crate::OK,
    })
}

fn request(args: &Args) -> Result<Request<Body>> {
    let method = match (&args.method, &args.data) {
        (Some(method), _) => method.clone(),
        (None, Some(_)) => Method::POST,
        (None, None) => Method::GET,
    };
    let body = match &args.data {
        Some(data) => full(data_of(data)?),
        None => empty(),
    };
    let mut request = Request::builder()
        .method(method)
        .uri(args.path.as_str())
        .body(body)
        .map_err(|e| {
            Error::invalid(format!("not a path of a request: {:?}", args.path)).because(e)
        })?;
    for Header(name, value) in &args.headers {
        request.headers_mut().append(name, value.clone());
    }
    Ok(request)
}

fn data_of(data: &str) -> Result<Vec<u8>> {
    let Some(file) = data.strip_prefix('@') else {
        return Ok(data.as_bytes().to_vec());
    };
    let mut bytes = Vec::new();
    let read = match file {
        "-" => std::io::stdin()
            .lock()
            .take(MAX_BODY + 1)
            .read_to_end(&mut bytes),
        file => {
            std::fs::File::open(file).and_then(|f| f.take(MAX_BODY + 1).read_to_end(&mut bytes))
        }
    };
    read.map_err(|e| Error::invalid(format!("cannot read the body: {file}")).because(e))?;
    if bytes.len() as u64 > MAX_BODY {
        return Err(Error::invalid(format!(
            "the body is larger than {MAX_BODY} bytes"
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_a_name_and_a_value() {
        let Header(name, value) = "X-Trace:  a:b ".parse().unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("x-trace", "a:b"));
        for bad in ["", "x", ": y", "a b: c", "x: a\nb"] {
            assert!(bad.parse::<Header>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn bodies_are_text_or_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("body");
        std::fs::write(&file, [0, 255]).unwrap();
        assert_eq!(data_of("你好").unwrap(), "你好".as_bytes());
        assert_eq!(data_of(&format!("@{}", file.display())).unwrap(), [0, 255]);
        assert!(data_of("@/nowhere/at/all").is_err());
    }
}

//! The JSON protocol.

use http::HeaderMap;
use serde_json::{Map, Value, json};

use super::Asked;
use crate::{
    fault::{Code, Fault, Result},
    operations::Service,
};

/// The header that names the operation.
pub(super) const TARGET: &str = "x-amz-target";

pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Asked> {
    let target = headers.get(TARGET).and_then(|of| of.to_str().ok());
    let target = target.ok_or_else(|| Code::NO_ACTION.says("X-Amz-Target is not there."))?;
    let unknown = || Code::NO_ACTION.says(format!("There is no such operation: {target}"));
    let (prefix, action) = target.split_once('.').ok_or_else(unknown)?;
    let service = match prefix {
        "AmazonSQS" => Service::Sqs,
        "AWSEvents" => Service::Events,
        _ => return Err(unknown()),
    };
    let params = match body.trim_ascii().is_empty() {
        true => Value::Object(Map::new()),
        // Its depth is bounded by the reader.
        false => serde_json::from_slice(body)
            .map_err(|error| Code::MALFORMED.says(format!("The body is no JSON: {error}")))?,
    };
    Ok(Asked {
        service,
        action: action.to_owned(),
        params,
    })
}

pub(super) fn refusal(service: Service, fault: &Fault) -> String {
    let namespace = match service {
        Service::Sqs => "com.amazonaws.sqs",
        _ => "com.amazonaws.events",
    };
    let code = fault.code.json;
    let common = code.ends_with("Exception") && service == Service::Sqs;
    let namespace = match common {
        true => "com.amazon.coral.service",
        false => namespace,
    };
    json!({ "__type": format!("{namespace}#{code}"), "message": fault.message }).to_string()
}

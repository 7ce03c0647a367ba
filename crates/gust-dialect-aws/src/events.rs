//! Topics as EventBridge has buses: events in.
//!
//! The bus is a topic of the same name (`default` where none is said). An event becomes a CloudEvent: its source and detail
//! type are those of the CloudEvent, its detail the data, its resources, if any, the extension `resources` as a JSON list.

use gust_types::{
    Event, Label,
    event::{Data, Form},
};
use serde_json::{Value, json};

use crate::{
    fault::{Code, Fault, Result},
    gate::Call,
    names,
    params::Params,
};

/// Entries of one request.
const MOST: usize = 10;
/// Bytes of an entry's texts, and of all of them.
const BYTES: usize = 256 << 10;

/// Why one entry is not taken.
struct Refused(&'static str, String);

pub(crate) async fn put(call: &Call<'_>) -> Result<Value> {
    let params = call.params()?;
    params.refuse(&["EndpointId"])?;
    let list = params.list("Entries")?;
    if list.is_empty() || list.len() > MOST {
        return Err(Code::VALIDATION.says(format!(
            "1 validation error detected: Entries has to have 1 to {MOST} members."
        )));
    }
    let size = list
        .iter()
        .map(|entry| entry.to_string().len())
        .sum::<usize>();
    if size > BYTES {
        return Err(
            Code::VALIDATION.says(format!("Total size of the entries is over {BYTES} bytes."))
        );
    }
    let (mut answers, mut failed) = (Vec::new(), 0);
    for entry in list {
        answers.push(match one(call, &Params::of(entry)?).await {
            Ok(id) => json!({ "EventId": id }),
            Err(Refused(code, message)) => {
                failed += 1;
                json!({ "ErrorCode": code, "ErrorMessage": message })
            }
        });
    }
    Ok(json!({ "FailedEntryCount": failed, "Entries": answers }))
}

async fn one(call: &Call<'_>, entry: &Params<'_>) -> std::result::Result<String, Refused> {
    let invalid = |fault: Fault| Refused("InvalidArgument", fault.message);
    let bus = entry
        .text("EventBusName")
        .map_err(invalid)?
        .unwrap_or("default");
    let topic = bus_topic(bus)
        .ok_or_else(|| Refused("InvalidArgument", format!("Not the name of a topic: {bus}")))?;
    let id = gust_task::ids::call_id().to_string();
    let event = event(&id, entry)?;
    let desk = &call.door.parts.desk;
    let published = desk
        .publish_events(&call.project, &topic, vec![event], false)
        .await;
    published.map_err(|error| match error.kind {
        gust_types::Kind::Internal => Refused("InternalFailure", Fault::from(error).message),
        gust_types::Kind::Exhausted | gust_types::Kind::Unavailable => {
            Refused("ThrottlingException", Fault::from(error).message)
        }
        _ => Refused("InvalidArgument", Fault::from(error).message),
    })?;
    Ok(id)
}

/// A bus is named by its name or by its ARN.
fn bus_topic(bus: &str) -> Option<Label> {
    let named = names::of_arn(bus, "events").and_then(|name| name.strip_prefix("event-bus/"));
    Label::new(named.unwrap_or(bus)).ok()
}

fn event(id: &str, entry: &Params<'_>) -> std::result::Result<Event, Refused> {
    let invalid = |fault: Fault| Refused("InvalidArgument", fault.message);
    let odd = |error: gust_types::Error| Refused("InvalidArgument", error.message);
    let need = |name: &str| {
        let text = entry.text(name).map_err(invalid)?;
        text.filter(|text| !text.is_empty()).ok_or_else(|| {
            Refused(
                "InvalidArgument",
                format!("Parameter {name} is not valid. Reason: {name} is a required argument."),
            )
        })
    };
    let (source, kind, detail) = (need("Source")?, need("DetailType")?, need("Detail")?);
    if !serde_json::from_str::<Value>(detail).is_ok_and(|detail| detail.is_object()) {
        return Err(Refused(
            "MalformedDetail",
            "Detail is malformed.".to_owned(),
        ));
    }
    let mut event = Event::new(id, source, kind).map_err(odd)?;
    event.set("time", time(entry)?).map_err(odd)?;
    let resources = entry.texts("Resources").map_err(invalid)?;
    if !resources.is_empty() {
        event
            .set("resources", json!(resources).to_string())
            .map_err(odd)?;
    }
    if let Some(trace) = entry.text("TraceHeader").map_err(invalid)? {
        event.set("awstraceheader", trace.to_owned()).map_err(odd)?;
    }
    event
        .set("datacontenttype", "application/json".to_owned())
        .map_err(odd)?;
    Ok(event.with_data(Data {
        bytes: detail.as_bytes().to_vec().into(),
        form: Form::Json,
    }))
}

/// When it happened: seconds, as JSON has them here; now where nothing is said.
fn time(entry: &Params<'_>) -> std::result::Result<String, Refused> {
    let now = gust_task::clock::unix_micros();
    let micros = match entry.seconds("Time") {
        Some(secs) => (secs * 1e6) as i64,
        None if entry.has("Time") => {
            let text = "Parameter Time is not valid. Reason: it is in seconds since 1970.";
            return Err(Refused("InvalidArgument", text.to_owned()));
        }
        None => i64::try_from(now).unwrap_or(i64::MAX),
    };
    let time = chrono::DateTime::from_timestamp_micros(micros);
    let time =
        time.ok_or_else(|| Refused("InvalidArgument", "Time is out of range.".to_owned()))?;
    Ok(time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
}

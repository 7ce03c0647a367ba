//! Ten at once: their ids, and which of them went well.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::{
    fault::{Code, Fault, Result},
    params::Params,
};

/// Entries of a batch.
pub(crate) const MOST: usize = 10;
/// Letters of an entry's id.
const ID: usize = 80;

/// The entries of a batch by their ids, which are distinct.
pub(crate) fn entries<'v>(params: &Params<'v>, list: &str) -> Result<Vec<(&'v str, Params<'v>)>> {
    let list = params.list(list)?;
    if list.is_empty() {
        return Err(Code::EMPTY_BATCH.says("There should be at least one entry in the request."));
    }
    if list.len() > MOST {
        return Err(Code::TOO_MANY_ENTRIES.says(format!(
            "Maximum number of entries per request are {MOST}. You have sent {}.",
            list.len()
        )));
    }
    let (mut entries, mut seen) = (Vec::new(), HashSet::new());
    for entry in list {
        let entry = Params::of(entry)?;
        let id = entry.need("Id")?;
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if id.is_empty() || id.len() > ID || !id.chars().all(fits) {
            return Err(Code::ENTRY_ID.says(
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. \
                 It can be at most 80 letters long.",
            ));
        }
        if !seen.insert(id) {
            return Err(Code::IDS_NOT_DISTINCT.says(format!("Id {id} repeated.")));
        }
        entries.push((id, entry));
    }
    Ok(entries)
}

/// What came of a batch.
#[derive(Default)]
pub(crate) struct Outcomes {
    good: Vec<Value>,
    bad: Vec<Value>,
}

// === impl Outcomes ===

impl Outcomes {
    /// One that went well; its answer has its id.
    pub(crate) fn good(&mut self, answer: Value) {
        self.good.push(answer);
    }

    pub(crate) fn bad(&mut self, id: &str, fault: &Fault) {
        self.bad.push(json!({
            "Id": id,
            "SenderFault": fault.code.is_senders(),
            "Code": fault.code.query,
            "Message": fault.message,
        }));
    }

    pub(crate) fn answer(self) -> Value {
        json!({ "Successful": self.good, "Failed": self.bad })
    }
}

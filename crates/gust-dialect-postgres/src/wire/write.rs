//! What clients are told.

use bytes::BufMut as _;

use super::Wire;
use crate::{error::Fault, types::Column};

/// Where a session stands between two statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Idle,
    InTransaction,
    Failed,
}

// === impl Wire ===

impl Wire {
    /// A message of this kind; its length is put in when its body is there.
    pub(crate) fn put(&mut self, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::with_capacity(64);
        body(&mut bytes);
        self.output.put_u8(kind);
        self.output.put_u32(bytes.len() as u32 + 4);
        self.output.extend_from_slice(&bytes);
    }

    /// One byte alone: no to TLS.
    pub(crate) fn put_no(&mut self) {
        self.output.put_u8(b'N');
    }

    /// A step of a login.
    pub(crate) fn put_authentication(&mut self, step: u32, data: &[u8]) {
        self.put(b'R', |body| {
            body.put_u32(step);
            body.put_slice(data);
        });
    }

    pub(crate) fn put_parameter(&mut self, name: &str, value: &str) {
        self.put(b'S', |body| {
            text(body, name);
            text(body, value);
        });
    }

    pub(crate) fn put_key(&mut self, session: u32, secret: u32) {
        self.put(b'K', |body| {
            body.put_u32(session);
            body.put_u32(secret);
        });
    }

    /// Only 3.0 is spoken, and none of these options.
    pub(crate) fn put_version(&mut self, options: &[String]) {
        self.put(b'v', |body| {
            body.put_u32(0);
            body.put_u32(options.len() as u32);
            for option in options {
                text(body, option);
            }
        });
    }

    pub(crate) fn put_ready(&mut self, status: Status) {
        let status = match status {
            Status::Idle => b'I',
            Status::InTransaction => b'T',
            Status::Failed => b'E',
        };
        self.put(b'Z', |body| body.put_u8(status));
    }

    pub(crate) fn put_complete(&mut self, tag: &str) {
        self.put(b'C', |body| text(body, tag));
    }

    /// A message that says all by its kind.
    pub(crate) fn put_sign(&mut self, kind: u8) {
        self.put(kind, |_| ());
    }

    pub(crate) fn put_parameters(&mut self, types: &[u32]) {
        self.put(b't', |body| {
            body.put_u16(types.len() as u16);
            for kind in types {
                body.put_u32(*kind);
            }
        });
    }

    pub(crate) fn put_columns(&mut self, columns: &[Column]) {
        self.put(b'T', |body| {
            body.put_u16(columns.len() as u16);
            for column in columns {
                text(body, &column.name);
                body.put_u32(0); // of no table that has a number
                body.put_u16(0);
                body.put_u32(column.kind.oid());
                body.put_i16(column.kind.size());
                body.put_i32(-1);
                body.put_u16(column.format as u16);
            }
        });
    }

    pub(crate) fn put_fault(&mut self, fault: &Fault) {
        let severity = if fault.fatal { "FATAL" } else { "ERROR" };
        self.put_told(b'E', severity, fault);
    }

    /// Something that changes nothing.
    pub(crate) fn put_warning(&mut self, fault: &Fault) {
        self.put_told(b'N', "WARNING", fault);
    }

    fn put_told(&mut self, kind: u8, severity: &str, fault: &Fault) {
        self.put(kind, |body| {
            let mut field = |name: u8, value: &str| {
                body.put_u8(name);
                text(body, value);
            };
            field(b'S', severity);
            field(b'V', severity);
            field(b'C', fault.code);
            field(b'M', &fault.message);
            if let Some(hint) = &fault.hint {
                field(b'H', hint);
            }
            body.put_u8(0);
        });
    }
}

/// A text with its zero; one inside it would end it early.
fn text(body: &mut Vec<u8>, text: &str) {
    body.extend(text.bytes().filter(|byte| *byte != 0));
    body.put_u8(0);
}

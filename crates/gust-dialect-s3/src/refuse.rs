//! Options that S3 has and we have not: refused by name, since ignoring them would be a promise broken in silence.

use s3s::{S3Error, S3Result, s3_error};

/// Refuses an option when it is asked for.
pub(crate) fn option(name: &str, asked: bool) -> S3Result<()> {
    match asked {
        true => Err(unserved(name)),
        false => Ok(()),
    }
}

fn unserved(name: &str) -> S3Error {
    s3_error!(NotImplemented, "this option is not served here: {name}")
}

/// Access lists: everything is its project's alone, which is what these say.
pub(crate) fn acl(acl: Option<&str>) -> S3Result<()> {
    let private = ["private", "bucket-owner-full-control", "bucket-owner-read"];
    option("acl", acl.is_some_and(|acl| !private.contains(&acl)))
}

/// There is one storage class.
pub(crate) fn storage_class(class: Option<&str>) -> S3Result<()> {
    match class {
        None | Some("STANDARD") => Ok(()),
        Some(class) => Err(s3_error!(
            InvalidStorageClass,
            "the only class is STANDARD: {class}"
        )),
    }
}

/// There are no versions but the one that is there.
pub(crate) fn version(version: Option<&str>) -> S3Result<()> {
    match version {
        None | Some("null") => Ok(()),
        Some(_) => Err(s3_error!(NoSuchVersion, "buckets here keep no versions")),
    }
}

/// What put, copy and create upload have in common.
macro_rules! common {
    ($input:expr) => {{
        let input = &$input;
        crate::refuse::acl(input.acl.as_ref().map(|acl| acl.as_str()))?;
        crate::refuse::storage_class(input.storage_class.as_ref().map(|class| class.as_str()))?;
        for (name, asked) in [
            ("grant-full-control", input.grant_full_control.is_some()),
            ("grant-read", input.grant_read.is_some()),
            ("grant-read-acp", input.grant_read_acp.is_some()),
            ("grant-write-acp", input.grant_write_acp.is_some()),
            (
                "object-lock-legal-hold",
                input.object_lock_legal_hold_status.is_some(),
            ),
            ("object-lock-mode", input.object_lock_mode.is_some()),
            (
                "object-lock-retain-until-date",
                input.object_lock_retain_until_date.is_some(),
            ),
            (
                "server-side-encryption",
                input.server_side_encryption.is_some(),
            ),
            (
                "server-side-encryption-customer-key",
                input.sse_customer_key.is_some() || input.sse_customer_algorithm.is_some(),
            ),
            (
                "server-side-encryption-aws-kms-key-id",
                input.ssekms_key_id.is_some(),
            ),
            (
                "server-side-encryption-context",
                input.ssekms_encryption_context.is_some(),
            ),
            (
                "server-side-encryption-bucket-key-enabled",
                input.bucket_key_enabled.is_some(),
            ),
            ("tagging", input.tagging.is_some()),
            (
                "website-redirect-location",
                input.website_redirect_location.is_some(),
            ),
        ] {
            crate::refuse::option(name, asked)?;
        }
    }};
}

pub(crate) use common;

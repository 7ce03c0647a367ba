//! What is served: every operation with what its query may say. The rest is refused by name, and so is a parameter that is
//! not known, since its operation would be taken for another: `DELETE /bucket?something` is not to remove the bucket.

use gust_backend::counts::Class;

/// An operation that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// Its name in S3.
    pub name: &'static str,
    /// What it is counted as.
    pub class: Class,
    /// What its query may say.
    pub query: &'static [&'static str],
}

const fn of(name: &'static str, class: Class, query: &'static [&'static str]) -> Operation {
    Operation { name, class, query }
}

/// What a query may ask to be told in the answer's head.
const TOLD: &[&str] = &[
    "versionId",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
];

/// Every operation that is served, by name.
pub const SERVED: &[Operation] = &[
    of("AbortMultipartUpload", Class::Write, &["uploadId"]),
    of("CompleteMultipartUpload", Class::Write, &["uploadId"]),
    of("CopyObject", Class::Write, &[]),
    of("CreateBucket", Class::Write, &[]),
    of("CreateMultipartUpload", Class::Write, &["uploads"]),
    of("DeleteBucket", Class::Write, &[]),
    of("DeleteObject", Class::Write, &["versionId"]),
    of("DeleteObjects", Class::Write, &["delete"]),
    of("GetBucketLocation", Class::Read, &["location"]),
    of("GetObject", Class::Read, TOLD),
    of("HeadBucket", Class::Read, &[]),
    of("HeadObject", Class::Read, TOLD),
    of(
        "ListBuckets",
        Class::List,
        &[
            "prefix",
            "max-buckets",
            "continuation-token",
            "bucket-region",
        ],
    ),
    of(
        "ListMultipartUploads",
        Class::List,
        &[
            "uploads",
            "prefix",
            "delimiter",
            "encoding-type",
            "key-marker",
            "upload-id-marker",
            "max-uploads",
        ],
    ),
    of(
        "ListObjects",
        Class::List,
        &["prefix", "delimiter", "encoding-type", "marker", "max-keys"],
    ),
    of(
        "ListObjectsV2",
        Class::List,
        &[
            "list-type",
            "prefix",
            "delimiter",
            "encoding-type",
            "continuation-token",
            "start-after",
            "max-keys",
            "fetch-owner",
        ],
    ),
    of(
        "ListParts",
        Class::List,
        &["uploadId", "part-number-marker", "max-parts"],
    ),
    of("PutObject", Class::Write, &[]),
    of("UploadPart", Class::Write, &["uploadId", "partNumber"]),
    of("UploadPartCopy", Class::Write, &["uploadId", "partNumber"]),
];

impl Operation {
    /// The operation of this name, if it is served.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        SERVED.iter().find(|operation| operation.name == name)
    }

    /// What the query says that the operation does not know. What signs the request, and what clients add to tell
    /// operations apart in their logs, is no part of it.
    pub(crate) fn unknown<'a>(&self, query: &'a str) -> Option<&'a str> {
        let names = query.split('&').filter(|pair| !pair.is_empty());
        let names = names.map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
        let mut odd = names.filter(|name| {
            let signs = name
                .get(..6)
                .is_some_and(|start| start.eq_ignore_ascii_case("x-amz-"));
            !signs && *name != "x-id" && !self.query.contains(name)
        });
        odd.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order() {
        assert!(SERVED.is_sorted_by_key(|operation| operation.name));
    }

    #[test]
    fn odd_parameters_are_seen() {
        let of = |name: &str, query| Operation::named(name).unwrap().unknown(query);
        for (name, query, odd) in [
            ("DeleteBucket", "", None),
            ("DeleteBucket", "x-id=DeleteBucket", None),
            (
                "DeleteBucket",
                "metadataConfiguration",
                Some("metadataConfiguration"),
            ),
            ("PutObject", "X-Amz-Signature=00&X-Amz-Date=1", None),
            ("PutObject", "renameObject=", Some("renameObject")),
            ("GetObject", "response-expires=x&versionId=null", None),
            ("GetObject", "&partNumber=1", Some("partNumber")),
            (
                "ListObjects",
                "allow-unordered=true",
                Some("allow-unordered"),
            ),
        ] {
            assert_eq!(of(name, query), odd, "{name} {query}");
        }
    }
}

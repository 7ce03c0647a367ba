//! Lists of objects, in both forms that S3 has.

use gust_backend::blob::{ListOptions, Page};
use gust_types::ProjectName;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        ChecksumAlgorithm, ChecksumType, CommonPrefix, ETag, EncodingType, ListObjectsInput,
        ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, Object, ObjectStorageClass,
    },
    s3_error,
};

use crate::{
    buckets::{owner, time},
    error,
    service::{Named, Service},
    sums::{Algorithm, Kind},
};

/// Keys in one answer.
pub(crate) const PAGE: usize = 1000;
/// Bytes of a prefix, a delimiter or a place to go on at: twice what a key has.
const TEXT: usize = 2048;
/// What stands in a key as it is, when keys are encoded.
const KEPT: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/')
    .remove(b'*');

/// How keys stand in an answer. XML has no way to write all that they may hold.
#[derive(Clone, Copy)]
pub(crate) struct Encoding(bool);

impl Encoding {
    pub(crate) fn of(asked: Option<&EncodingType>) -> S3Result<Self> {
        match asked.map(EncodingType::as_str) {
            None => Ok(Self(false)),
            Some(EncodingType::URL) => Ok(Self(true)),
            Some(other) => Err(s3_error!(InvalidArgument, "no such encoding: {other}")),
        }
    }

    pub(crate) fn encode(self, text: &str) -> String {
        match self.0 {
            true => utf8_percent_encode(text, &KEPT).to_string(),
            false => text.to_owned(),
        }
    }
}

/// How many of something an answer may have.
pub(crate) fn most(asked: Option<i32>, name: &str) -> S3Result<usize> {
    let Some(asked) = asked else { return Ok(PAGE) };
    let most = usize::try_from(asked);
    let most = most.map_err(|_| s3_error!(InvalidArgument, "not a number for {name}: {asked}"))?;
    Ok(most.min(PAGE))
}

/// Refuses a text that is longer than any that could be meant.
pub(crate) fn bounded(texts: &[Option<&String>]) -> S3Result<()> {
    match texts.iter().flatten().any(|text| text.len() > TEXT) {
        true => Err(s3_error!(
            InvalidArgument,
            "a prefix, delimiter or marker is too long"
        )),
        false => Ok(()),
    }
}

async fn page(service: &Service, named: &Named, options: ListOptions) -> S3Result<Page> {
    // Nothing is asked for, and there is no more of that.
    if options.most == 0 {
        return Ok(Page::default());
    }
    let page = service.bucket(named)?.list(options).await;
    page.map_err(error::of)
}

fn contents(page: &Page, encoding: Encoding, of: Option<&ProjectName>) -> Vec<Object> {
    let objects = page.objects.iter().map(|(key, object)| {
        let sums = object.checksums.iter();
        let algorithms = sums.filter_map(|(name, _)| Algorithm::parse(name));
        let algorithms: Vec<_> = algorithms
            .map(|of| ChecksumAlgorithm::from_static(of.word()))
            .collect();
        let kind = object.checksums.values().next().map(|sum| Kind::of(sum));
        Object {
            checksum_algorithm: (!algorithms.is_empty()).then_some(algorithms),
            checksum_type: kind.map(|kind| ChecksumType::from_static(kind.word())),
            e_tag: Some(ETag::Strong(object.etag.clone())),
            key: Some(encoding.encode(key)),
            last_modified: Some(time(object.modified_us)),
            owner: of.map(owner),
            restore_status: None,
            size: Some(object.size as i64),
            storage_class: Some(ObjectStorageClass::from_static(
                ObjectStorageClass::STANDARD,
            )),
        }
    });
    objects.collect()
}

fn prefixes(page: &Page, encoding: Encoding) -> Vec<CommonPrefix> {
    let prefixes = page.prefixes.iter().map(|prefix| CommonPrefix {
        prefix: Some(encoding.encode(prefix)),
    });
    prefixes.collect()
}

pub(crate) async fn objects(
    service: &Service,
    request: S3Request<ListObjectsInput>,
) -> S3Result<S3Response<ListObjectsOutput>> {
    let named = service.there(&request, &request.input.bucket).await?;
    let input = request.input;
    let encoding = Encoding::of(input.encoding_type.as_ref())?;
    let most = most(input.max_keys, "max-keys")?;
    bounded(&[
        input.prefix.as_ref(),
        input.delimiter.as_ref(),
        input.marker.as_ref(),
    ])?;
    let options = ListOptions {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().filter(|d| !d.is_empty()),
        after: input.marker.clone().filter(|marker| !marker.is_empty()),
        most,
    };
    let page = page(service, &named, options).await?;
    Ok(S3Response::new(ListObjectsOutput {
        name: Some(named.name.to_string()),
        prefix: Some(encoding.encode(&input.prefix.unwrap_or_default())),
        marker: Some(encoding.encode(&input.marker.unwrap_or_default())),
        max_keys: Some(most as i32),
        is_truncated: Some(page.next.is_some()),
        contents: Some(contents(&page, encoding, Some(&named.project))),
        common_prefixes: Some(prefixes(&page, encoding)),
        delimiter: input.delimiter.map(|d| encoding.encode(&d)),
        next_marker: page.next.as_deref().map(|next| encoding.encode(next)),
        encoding_type: input.encoding_type,
        request_charged: None,
    }))
}

pub(crate) async fn objects_v2(
    service: &Service,
    request: S3Request<ListObjectsV2Input>,
) -> S3Result<S3Response<ListObjectsV2Output>> {
    let named = service.there(&request, &request.input.bucket).await?;
    let input = request.input;
    let encoding = Encoding::of(input.encoding_type.as_ref())?;
    let most = most(input.max_keys, "max-keys")?;
    bounded(&[
        input.prefix.as_ref(),
        input.delimiter.as_ref(),
        input.start_after.as_ref(),
    ])?;
    let after = match &input.continuation_token {
        Some(token) => Some(token_of(token)?),
        // Behind this key alone, also when it reads like what many have in common: no key is smaller than itself with a
        // NUL behind it, and none has one.
        None => input
            .start_after
            .as_ref()
            .filter(|after| !after.is_empty())
            .map(|after| format!("{after}\0")),
    };
    let options = ListOptions {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().filter(|d| !d.is_empty()),
        after,
        most,
    };
    let page = page(service, &named, options).await?;
    let of = input.fetch_owner.unwrap_or_default();
    let of = of.then_some(&named.project);
    Ok(S3Response::new(ListObjectsV2Output {
        name: Some(named.name.to_string()),
        prefix: Some(encoding.encode(&input.prefix.unwrap_or_default())),
        max_keys: Some(most as i32),
        key_count: Some((page.objects.len() + page.prefixes.len()) as i32),
        continuation_token: input.continuation_token,
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next.as_deref().map(hex::encode),
        contents: Some(contents(&page, encoding, of)),
        common_prefixes: Some(prefixes(&page, encoding)),
        delimiter: input.delimiter.map(|d| encoding.encode(&d)),
        encoding_type: input.encoding_type,
        start_after: input.start_after.map(|after| encoding.encode(&after)),
        request_charged: None,
    }))
}

/// Where to go on: a token is the hexadecimal of a key.
fn token_of(token: &str) -> S3Result<String> {
    let text = hex::decode(token).ok().filter(|bytes| bytes.len() <= TEXT);
    let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| s3_error!(InvalidArgument, "the continuation token is none of ours"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_back_and_others_do_not() {
        assert_eq!(token_of(&hex::encode("照片/一")).unwrap(), "照片/一");
        for bad in ["x", "ff", "abc", &hex::encode("k".repeat(3000))] {
            assert!(token_of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_are_encoded_when_they_are_asked_to_be() {
        let url = EncodingType::from_static(EncodingType::URL);
        let encoding = Encoding::of(Some(&url)).unwrap();
        assert_eq!(
            encoding.encode("a/猫 +\u{1}.jpg"),
            "a/%E7%8C%AB%20%2B%01.jpg"
        );
        assert_eq!(Encoding::of(None).unwrap().encode("猫 +"), "猫 +");
        let odd = EncodingType::from_static("rot13");
        assert!(Encoding::of(Some(&odd)).is_err());
    }
}

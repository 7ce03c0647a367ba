//! Checksums: the MD5 that an etag is, and what clients send and ask for beside it.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crc_fast::CrcAlgorithm;
use http::HeaderMap;
use s3s::{
    S3Result,
    checksum::ChecksumHasher,
    crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256},
    s3_error,
};

/// What a checksum is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

/// How the checksum of an object in parts is made: of its bytes, or of its parts' checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Full,
    Composite,
}

/// What is to be found out about bytes, and what they have to be.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Wanted {
    pub(crate) algorithms: Vec<Algorithm>,
    /// What `content-md5` says.
    md5: Option<[u8; 16]>,
    /// What the head says, in base64.
    expected: BTreeMap<Algorithm, String>,
    /// What the trailer will say.
    trailer: Option<Algorithm>,
}

/// Bytes that are summed up.
pub(crate) struct Sums {
    md5: Md5,
    others: ChecksumHasher,
}

/// What came of it.
pub(crate) struct Summed {
    pub(crate) md5: [u8; 16],
    /// By the names of algorithms, in base64.
    pub(crate) checksums: BTreeMap<String, String>,
}

// === impl Algorithm ===

impl Algorithm {
    pub(crate) const ALL: [Self; 5] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
    ];

    /// As it stands in names of headers, and with an object.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "crc32",
            Self::Crc32c => "crc32c",
            Self::Crc64Nvme => "crc64nvme",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    /// As it stands in XML, and in values of headers.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is = |of: &Self| of.name().eq_ignore_ascii_case(text);
        Self::ALL.into_iter().find(is)
    }

    /// The same, of what a request asks for.
    pub(crate) fn asked(text: &str) -> S3Result<Self> {
        Self::parse(text)
            .ok_or_else(|| s3_error!(InvalidRequest, "there is no such checksum: {text}"))
    }

    /// What the checksum of parts is, where nobody says.
    pub(crate) fn usual(self) -> Kind {
        match self {
            Self::Crc64Nvme => Kind::Full,
            _ => Kind::Composite,
        }
    }

    pub(crate) fn allows(self, kind: Kind) -> bool {
        match self {
            Self::Crc32 | Self::Crc32c => true,
            Self::Crc64Nvme => kind == Kind::Full,
            Self::Sha1 | Self::Sha256 => kind == Kind::Composite,
        }
    }

    fn length(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// The bytes of a checksum, if it is one.
    fn decode(self, text: &str) -> Option<Vec<u8>> {
        let bytes = STANDARD.decode(text).ok()?;
        (bytes.len() == self.length()).then_some(bytes)
    }

    /// The checksum of parts, from theirs with their sizes; `None` when one of them is missing.
    pub(crate) fn of_parts<'a>(
        self,
        kind: Kind,
        parts: impl Iterator<Item = (Option<&'a str>, u64)>,
    ) -> Option<String> {
        let (mut all, mut count, mut combined) = (Vec::new(), 0, 0);
        for (sum, size) in parts {
            let bytes = self.decode(sum?)?;
            if kind == Kind::Full {
                let number = bytes
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
                combined = match count {
                    0 => number,
                    _ => crc_fast::checksum_combine(self.crc()?, combined, number, size),
                };
            }
            all.extend(bytes);
            count += 1;
        }
        match kind {
            Kind::Full => {
                let bytes = combined.to_be_bytes();
                Some(STANDARD.encode(bytes.get(8 - self.length()..)?))
            }
            Kind::Composite => Some(format!("{}-{count}", self.sum(&all))),
        }
    }

    fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Sha1 | Self::Sha256 => None,
        }
    }

    fn sum(self, bytes: &[u8]) -> String {
        match self {
            Self::Crc32 => STANDARD.encode(Crc32::checksum(bytes)),
            Self::Crc32c => STANDARD.encode(Crc32c::checksum(bytes)),
            Self::Crc64Nvme => STANDARD.encode(Crc64Nvme::checksum(bytes)),
            Self::Sha1 => STANDARD.encode(Sha1::checksum(bytes)),
            Self::Sha256 => STANDARD.encode(Sha256::checksum(bytes)),
        }
    }
}

// === impl Kind ===

impl Kind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Full => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }

    pub(crate) fn asked(text: &str) -> S3Result<Self> {
        match text {
            "FULL_OBJECT" => Ok(Self::Full),
            "COMPOSITE" => Ok(Self::Composite),
            _ => Err(s3_error!(
                InvalidRequest,
                "there is no such type of checksum: {text}"
            )),
        }
    }

    /// That of a checksum which stands with an object.
    pub(crate) fn of(sum: &str) -> Self {
        match sum.contains('-') {
            true => Self::Composite,
            false => Self::Full,
        }
    }
}

// === impl Wanted ===

impl Wanted {
    /// What the head of a request says, and whoever put it.
    pub(crate) fn of(
        headers: &HeaderMap,
        md5: Option<&str>,
        expected: &[(Algorithm, Option<&String>)],
    ) -> S3Result<Self> {
        let mut wanted = Self::default();
        if let Some(text) = md5 {
            let bytes = STANDARD.decode(text).ok();
            let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
            let bad = || s3_error!(InvalidDigest, "content-md5 is not the base64 of 16 bytes");
            wanted.md5 = Some(bytes.ok_or_else(bad)?);
        }
        for (algorithm, sum) in expected {
            let Some(sum) = sum else { continue };
            let bad = || s3_error!(InvalidRequest, "not a {} checksum", algorithm.word());
            algorithm.decode(sum).ok_or_else(bad)?;
            wanted.add(*algorithm);
            wanted.expected.insert(*algorithm, (*sum).clone());
        }
        if let Some(trailer) = headers.get("x-amz-trailer") {
            let name = trailer.to_str().unwrap_or_default().trim();
            let algorithm = name
                .strip_prefix("x-amz-checksum-")
                .and_then(Algorithm::parse);
            let bad = || s3_error!(InvalidRequest, "this trailer is not known: {name}");
            let algorithm = algorithm.ok_or_else(bad)?;
            wanted.add(algorithm);
            wanted.trailer = Some(algorithm);
        }
        for name in ["x-amz-sdk-checksum-algorithm", "x-amz-checksum-algorithm"] {
            if let Some(asked) = headers.get(name) {
                wanted.add(Algorithm::asked(asked.to_str().unwrap_or_default())?);
            }
        }
        if wanted.expected.len() > 1 {
            return Err(s3_error!(
                InvalidRequest,
                "a request has one checksum at most"
            ));
        }
        Ok(wanted)
    }

    /// This checksum too.
    pub(crate) fn add(&mut self, algorithm: Algorithm) {
        if !self.algorithms.contains(&algorithm) {
            self.algorithms.push(algorithm);
        }
    }

    /// Holds what came against what was said before and behind it.
    pub(crate) fn check(&self, summed: &Summed, trailers: Option<&HeaderMap>) -> S3Result<()> {
        if self.md5.is_some_and(|md5| md5 != summed.md5) {
            return Err(s3_error!(
                BadDigest,
                "the bytes do not have the content-md5"
            ));
        }
        let mut expected = self.expected.clone();
        if let Some(algorithm) = self.trailer {
            let name = format!("x-amz-checksum-{}", algorithm.name());
            let sum = trailers.and_then(|trailers| trailers.get(&name)?.to_str().ok());
            let bad = || s3_error!(InvalidRequest, "the trailer has no {name}");
            let sum = sum.ok_or_else(bad)?.trim().to_owned();
            if expected
                .insert(algorithm, sum.clone())
                .is_some_and(|said| said != sum)
            {
                return Err(s3_error!(BadDigest, "head and trailer say another {name}"));
            }
        }
        for (algorithm, sum) in expected {
            if summed.checksums.get(algorithm.name()) != Some(&sum) {
                let word = algorithm.word();
                return Err(s3_error!(
                    BadDigest,
                    "the bytes do not have the {word} checksum"
                ));
            }
        }
        Ok(())
    }
}

// === impl Sums ===

impl Sums {
    pub(crate) fn new(algorithms: &[Algorithm]) -> Self {
        let asked = |of| algorithms.contains(&of);
        Self {
            md5: Md5::new(),
            others: ChecksumHasher {
                crc32: asked(Algorithm::Crc32).then(Crc32::new),
                crc32c: asked(Algorithm::Crc32c).then(Crc32c::new),
                sha1: asked(Algorithm::Sha1).then(Sha1::new),
                sha256: asked(Algorithm::Sha256).then(Sha256::new),
                crc64nvme: asked(Algorithm::Crc64Nvme).then(Crc64Nvme::new),
            },
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.others.update(bytes);
    }

    pub(crate) fn finish(self) -> Summed {
        let sums = self.others.finalize();
        let sums = [
            (Algorithm::Crc32, sums.checksum_crc32),
            (Algorithm::Crc32c, sums.checksum_crc32c),
            (Algorithm::Crc64Nvme, sums.checksum_crc64nvme),
            (Algorithm::Sha1, sums.checksum_sha1),
            (Algorithm::Sha256, sums.checksum_sha256),
        ];
        let sums = sums.into_iter();
        Summed {
            md5: self.md5.finalize(),
            checksums: sums
                .filter_map(|(algorithm, sum)| Some((algorithm.name().to_owned(), sum?)))
                .collect(),
        }
    }
}

/// The etag of an object in parts, from theirs; `None` when one of them is no MD5.
pub(crate) fn etag_of_parts<'a>(etags: impl Iterator<Item = &'a str>) -> Option<String> {
    let (mut all, mut count) = (Md5::new(), 0);
    for etag in etags {
        all.update(&hex::decode(etag).ok().filter(|bytes| bytes.len() == 16)?);
        count += 1;
    }
    Some(format!("{}-{count}", hex::encode(all.finalize())))
}

/// Puts an object's checksums where an answer has them.
macro_rules! show {
    ($output:expr, $checksums:expr) => {{
        let (output, checksums) = (&mut $output, &$checksums);
        let sum = |algorithm: crate::sums::Algorithm| checksums.get(algorithm.name()).cloned();
        output.checksum_crc32 = sum(crate::sums::Algorithm::Crc32);
        output.checksum_crc32c = sum(crate::sums::Algorithm::Crc32c);
        output.checksum_crc64nvme = sum(crate::sums::Algorithm::Crc64Nvme);
        output.checksum_sha1 = sum(crate::sums::Algorithm::Sha1);
        output.checksum_sha256 = sum(crate::sums::Algorithm::Sha256);
    }};
}

/// The same, with their type.
macro_rules! show_typed {
    ($output:expr, $checksums:expr) => {{
        crate::sums::show!($output, $checksums);
        let first = $checksums.values().next();
        $output.checksum_type =
            first.map(|sum| s3s::dto::ChecksumType::from_static(crate::sums::Kind::of(sum).word()));
    }};
}

/// What a request says that its bytes sum up to.
macro_rules! said {
    ($input:expr) => {{
        let input = &$input;
        [
            (crate::sums::Algorithm::Crc32, input.checksum_crc32.as_ref()),
            (
                crate::sums::Algorithm::Crc32c,
                input.checksum_crc32c.as_ref(),
            ),
            (
                crate::sums::Algorithm::Crc64Nvme,
                input.checksum_crc64nvme.as_ref(),
            ),
            (crate::sums::Algorithm::Sha1, input.checksum_sha1.as_ref()),
            (
                crate::sums::Algorithm::Sha256,
                input.checksum_sha256.as_ref(),
            ),
        ]
    }};
}

pub(crate) use {said, show, show_typed};

#[cfg(test)]
mod tests {
    use super::*;

    fn summed(bytes: &[u8], algorithms: &[Algorithm]) -> Summed {
        let mut sums = Sums::new(algorithms);
        sums.update(bytes);
        sums.finish()
    }

    #[test]
    fn sums_are_those_that_everybody_has() {
        let summed = summed(b"123456789", &Algorithm::ALL);
        let sum = |name: &str| summed.checksums[name].as_str();
        assert_eq!(hex::encode(summed.md5), "25f9e794323b453885f5181f1b624d0b");
        assert_eq!(sum("crc32"), "y/Q5Jg==");
        assert_eq!(sum("crc32c"), "4waSgw==");
        assert_eq!(sum("crc64nvme"), "rosUhgp5mIg=");
        assert_eq!(sum("sha1"), "98O8HYCOBHMq32eZZczDTKeuNEE=");
        assert_eq!(
            sum("sha256"),
            "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="
        );
    }

    #[test]
    fn sums_of_parts_combine() {
        let all = b"the quick brown fox jumps over the lazy dog";
        let (one, two) = all.split_at(17);
        let (two, three) = two.split_at(1);
        let parts = [one, two, three];
        for algorithm in Algorithm::ALL {
            let sums: Vec<_> = parts.map(|part| summed(part, &[algorithm])).into();
            let of = |kind| {
                let sums = sums.iter().zip(parts);
                let sums = sums.map(|(sum, part)| {
                    let sum = sum.checksums.get(algorithm.name());
                    (sum.map(String::as_str), part.len() as u64)
                });
                algorithm.of_parts(kind, sums)
            };
            let whole = summed(all, &[algorithm]).checksums;
            if algorithm.allows(Kind::Full) {
                assert_eq!(of(Kind::Full).as_ref(), whole.get(algorithm.name()));
            }
            let composite = of(Kind::Composite).unwrap();
            assert!(composite.ends_with("-3"), "{composite}");
            assert_eq!(Kind::of(&composite), Kind::Composite);
        }
        let missing = [(None, 1)].into_iter();
        assert_eq!(Algorithm::Crc32.of_parts(Kind::Full, missing), None);
    }

    #[test]
    fn what_was_said_is_held_against_what_came() {
        let right = "y/Q5Jg==".to_owned();
        let wrong = "AAAAAA==".to_owned();
        let came = summed(b"123456789", &[Algorithm::Crc32]);
        let check = |md5: Option<&str>, crc: Option<&String>, trailer: Option<&str>| {
            let mut headers = HeaderMap::new();
            let mut trailers = HeaderMap::new();
            if let Some(sum) = trailer {
                headers.insert("x-amz-trailer", "x-amz-checksum-crc32".parse().unwrap());
                trailers.insert("x-amz-checksum-crc32", sum.parse().unwrap());
            }
            let wanted = Wanted::of(&headers, md5, &[(Algorithm::Crc32, crc)])?;
            wanted.check(&came, Some(&trailers))
        };
        let code = |checked: S3Result<()>| checked.err().map(|e| e.code().as_str().to_owned());
        let md5 = "JfnnlDI7RTiF9RgfG2JNCw==";
        for (md5, crc, trailer, wanted) in [
            (None, None, None, None),
            (Some(md5), Some(&right), None, None),
            (None, None, Some("y/Q5Jg=="), None),
            (
                Some("AAAAAAAAAAAAAAAAAAAAAA=="),
                None,
                None,
                Some("BadDigest"),
            ),
            (Some("x"), None, None, Some("InvalidDigest")),
            (None, Some(&wrong), None, Some("BadDigest")),
            (None, Some(&"AA".to_owned()), None, Some("InvalidRequest")),
            (None, None, Some("AAAAAA=="), Some("BadDigest")),
        ] {
            assert_eq!(code(check(md5, crc, trailer)).as_deref(), wanted);
        }
    }

    #[test]
    fn etags_of_parts_are_those_of_s3() {
        let empty = "d41d8cd98f00b204e9800998ecf8427e";
        assert_eq!(
            etag_of_parts([empty].into_iter()).as_deref(),
            Some("59adb24ef3cdbe0297f05b395827453f-1")
        );
        assert_eq!(etag_of_parts(["x"].into_iter()), None);
    }
}

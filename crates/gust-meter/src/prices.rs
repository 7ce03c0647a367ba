//! What usage costs, read from `prices.toml`.

use std::str::FromStr;

use gust_types::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::money::Price;

/// Prices without tiers, free shares or minimums. Every field has a default with a public source; `0` means free.
///
/// The defaults are list prices as published for US East (N. Virginia) in 2025, after free shares. They make a bill that can
/// be compared with a cloud's, they are not advice. `docs/metering.md` has the sources and the reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prices {
    /// Printed beside amounts; nothing is converted. Default `USD`.
    pub currency: String,
    /// A million settled calls. Default 0.20 (AWS Lambda, requests).
    pub calls_per_million: Price,
    /// Memory really held, one GB (1,000,000,000 bytes) for one second. Default 0.0000166667 (AWS Lambda, x86, first tier).
    pub memory_per_gb_second: Price,
    /// A second of the guest really running. Default 0.00002 (Cloudflare Workers: 0.02 per million CPU ms).
    pub cpu_per_second: Price,
    /// Request bodies, one GB. Default 0 (clouds do not charge for what comes in).
    pub bytes_in_per_gb: Price,
    /// Response bodies, one GB. Default 0.09 (AWS, data transfer out to the internet, first paid tier).
    pub bytes_out_per_gb: Price,
    /// A million key-value operations. Default 0.125 (Amazon DynamoDB on demand, read request units).
    pub kv_per_million: Price,
    /// A million SQL statements. Default 0.35 (Amazon Aurora Data API, requests).
    pub sql_per_million: Price,
    /// A million outbound HTTP requests. Default 0 (no cloud charges for the request itself).
    pub http_out_per_million: Price,
}

/// Quantity that the prices "per million" are for.
pub const MILLION: u64 = 1_000_000;
/// Bytes of a GB.
pub const GB: u64 = 1_000_000_000;
/// MB-ms of a GB-second.
pub const GB_SECOND: u64 = 1_000_000;
/// Microseconds of a second.
pub const SECOND: u64 = 1_000_000;

impl Default for Prices {
    fn default() -> Self {
        Self {
            currency: "USD".to_owned(),
            calls_per_million: Price::from_picos(200_000_000_000),
            memory_per_gb_second: Price::from_picos(16_666_700),
            cpu_per_second: Price::from_picos(20_000_000),
            bytes_in_per_gb: Price::default(),
            bytes_out_per_gb: Price::from_picos(90_000_000_000),
            kv_per_million: Price::from_picos(125_000_000_000),
            sql_per_million: Price::from_picos(350_000_000_000),
            http_out_per_million: Price::default(),
        }
    }
}

impl FromStr for Prices {
    type Err = Error;
    /// Reads `prices.toml`. Unknown keys are refused.
    fn from_str(text: &str) -> Result<Self> {
        let prices: Self = toml::from_str(text).map_err(|fault| {
            Error::invalid("prices are not valid")
                .hint("see docs/metering.md for the keys and their defaults")
                .because(fault)
        })?;
        let plain = |c: char| c.is_ascii_alphanumeric();
        if prices.currency.is_empty()
            || prices.currency.len() > 8
            || !prices.currency.chars().all(plain)
        {
            return Err(Error::invalid(format!(
                "currency is not a short code: {:?}",
                prices.currency
            )));
        }
        Ok(prices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_published_figures() {
        let prices = Prices::default();
        let shown = [
            (prices.calls_per_million, "0.20"),
            (prices.memory_per_gb_second, "0.0000166667"),
            (prices.cpu_per_second, "0.00002"),
            (prices.bytes_in_per_gb, "0.00"),
            (prices.bytes_out_per_gb, "0.09"),
            (prices.kv_per_million, "0.125"),
            (prices.sql_per_million, "0.35"),
            (prices.http_out_per_million, "0.00"),
        ];
        for (price, text) in shown {
            assert_eq!(price.to_string(), text);
        }
    }

    #[test]
    fn a_file_overrides_what_it_names() {
        let prices = "currency = \"CNY\"\ncpu_per_second = 0.5"
            .parse::<Prices>()
            .unwrap();
        assert_eq!(prices.currency, "CNY");
        assert_eq!(prices.cpu_per_second.to_string(), "0.50");
        assert_eq!(prices.kv_per_million, Prices::default().kv_per_million);
        let text = toml::to_string(&prices).unwrap();
        assert_eq!(text.parse::<Prices>().unwrap(), prices);
        for bad in [
            "cpu = 1",
            "cpu_per_second = \"free\"",
            "currency = \"\"",
            "cpu_per_second = -1",
            "currency = 5",
            "=",
        ] {
            assert!(bad.parse::<Prices>().is_err(), "{bad}");
        }
    }
}

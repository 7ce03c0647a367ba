use std::collections::HashMap;

use super::*;

fn from(variables: &[(&str, &str)]) -> Result<Option<Otlp>> {
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    Otlp::from_env(|name| variables.get(name).map(|value| (*value).to_owned()))
}

#[test]
fn no_endpoint_no_export() {
    assert_eq!(from(&[]).unwrap(), None);
    assert_eq!(from(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]).unwrap(), None);
    let disabled = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318"),
        ("OTEL_SDK_DISABLED", "TRUE"),
    ];
    assert_eq!(from(&disabled).unwrap(), None);
}

#[test]
fn the_variables_of_opentelemetry_are_understood() {
    let otlp = from(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318/"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, x=y"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
        ("OTEL_SERVICE_NAME", "edge"),
        ("OTEL_RESOURCE_ATTRIBUTES", "zone=eu"),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
    ])
    .unwrap()
    .unwrap();
    assert_eq!(otlp.traces_endpoint, "http://127.0.0.1:4318/v1/traces");
    let metrics = otlp.metrics_endpoint.as_deref();
    assert_eq!(metrics, Some("http://127.0.0.1:4318/v1/metrics"));
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(otlp.headers, [pair("api-key", "a b"), pair("x", "y")]);
    assert_eq!(otlp.attributes, [pair("zone", "eu")]);
    assert_eq!(otlp.timeout, Duration::from_millis(250));
    assert_eq!(
        (otlp.service_name.as_str(), otlp.sample_ratio),
        ("edge", 0.25)
    );

    let own = [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://c/x")];
    assert_eq!(from(&own).unwrap().unwrap().traces_endpoint, "https://c/x");
    assert_eq!(from(&own).unwrap().unwrap().metrics_endpoint, None);
}

#[test]
fn what_cannot_work_is_refused_with_its_name() {
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "not a url"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
    ] {
        let variables = [
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://a/"),
            (name, value),
        ];
        let variables = if name.ends_with("OTLP_ENDPOINT") {
            &variables[1..]
        } else {
            &variables
        };
        let error = from(variables).unwrap_err();
        assert!(error.message.contains(value), "{}", error.message);
    }
    let bad = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1"),
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "7"),
    ];
    assert!(from(&bad).is_err());
}

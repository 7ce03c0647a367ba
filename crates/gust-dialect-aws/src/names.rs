//! Names, URLs and ARNs of queues and topics, and the labels behind them.
//!
//! A name is a label as it stands. `NAME.fifo` is the label `NAME--fifo`, and nothing else is: a name of SQS's that ends in
//! `--fifo` is refused, so that every label has one name.

use gust_types::Label;

use crate::fault::{Code, Fault, Result};

/// There is one account.
pub(crate) const ACCOUNT: &str = "000000000000";
/// How a FIFO queue's name ends.
const FIFO: &str = ".fifo";
/// And its label.
const FIFO_LABEL: &str = "--fifo";

/// The label of a queue by its name; `None` for a name that no queue has.
pub(crate) fn label(name: &str) -> Option<Label> {
    if name.ends_with(FIFO_LABEL) {
        return None;
    }
    match name.strip_suffix(FIFO) {
        Some("") => None,
        Some(plain) => Label::new(format!("{plain}{FIFO_LABEL}")).ok(),
        None => Label::new(name).ok(),
    }
}

/// The name of the queue of a label.
pub(crate) fn name(label: &Label) -> String {
    match label.as_str().strip_suffix(FIFO_LABEL) {
        Some(plain) => format!("{plain}{FIFO}"),
        None => label.to_string(),
    }
}

/// Whether it is a FIFO queue's.
pub(crate) fn is_fifo(label: &Label) -> bool {
    label.as_str().ends_with(FIFO_LABEL)
}

/// A label for a queue that is to be made.
pub(crate) fn fresh(name: &str) -> Result<Label> {
    label(name).ok_or_else(|| {
        Code::PARAMETER.says(format!(
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 63 in length, \
             begins with a letter, does not end in --fifo; .fifo at the end of a FIFO queue's: {name:?}"
        ))
    })
}

/// The queue that a URL names, whatever its host and account.
pub(crate) fn of_url(url: &str) -> Result<Label> {
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => url,
    };
    let name = path.trim_end_matches('/').rsplit('/').next();
    let name = name.filter(|name| !name.is_empty());
    let name =
        name.ok_or_else(|| Code::ADDRESS.says(format!("The address {url} is not valid.")))?;
    label(name).ok_or_else(Fault::no_queue)
}

/// The name in an ARN of this service, whatever its region and account.
pub(crate) fn of_arn<'a>(arn: &'a str, service: &str) -> Option<&'a str> {
    let mut parts = arn.splitn(6, ':');
    let (start, _, of) = (parts.next()?, parts.next()?, parts.next()?);
    let (_, _, name) = (parts.next()?, parts.next()?, parts.next()?);
    (start == "arn" && of == service).then_some(name)
}

/// An ARN in the region that the caller is in.
pub(crate) fn arn(service: &str, region: &str, name: &str) -> String {
    format!("arn:aws:{service}:{region}:{ACCOUNT}:{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_has_one_name() {
        for (of, wanted) in [
            ("orders", "orders"),
            ("orders.fifo", "orders--fifo"),
            ("Or_ders-2", "Or_ders-2"),
        ] {
            let label = label(of).unwrap();
            assert_eq!((label.as_str(), name(&label).as_str()), (wanted, of));
        }
        for bad in [
            "",
            ".fifo",
            "orders--fifo",
            "a--fifo.fifo.fifo",
            "a.b",
            "2nd",
            "../etc",
            "订单",
            "a.fifo.fifo",
            &"x".repeat(64),
        ] {
            assert!(label(bad).is_none(), "{bad}");
        }
        // One that ends so twice is a name of its own.
        let odd = Label::new("a--fifo--fifo").unwrap();
        assert_eq!(name(&odd), "a--fifo.fifo");
        assert_eq!(label("a--fifo.fifo"), Some(odd));
    }

    #[test]
    fn urls_and_arns_are_taken_from_anywhere() {
        for url in [
            "http://localhost:1/000000000000/orders",
            "https://sqs.eu-central-1.amazonaws.com/123/orders/",
            "/000000000000/orders",
            "orders",
        ] {
            assert_eq!(of_url(url).unwrap().as_str(), "orders", "{url}");
        }
        assert_eq!(of_url("http://h").unwrap_err().code, Code::ADDRESS);
        assert_eq!(of_url("http://h/1/a.b").unwrap_err().code, Code::NO_QUEUE);
        assert_eq!(of_arn("arn:aws:sqs:eu:1:q.fifo", "sqs"), Some("q.fifo"));
        assert_eq!(of_arn("arn:aws:sns:eu:1:t", "sqs"), None);
        assert_eq!(of_arn("arn:aws:sqs", "sqs"), None);
    }
}

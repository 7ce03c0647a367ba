//! Both readers, from text to app; the file globs; the texts of faults; the reference pages.

mod changes;
mod dependencies;
mod faults;
mod files;
mod gust;
mod pages;
mod spin;
mod topics;
mod webhooks;

use crate::{parse_gust, parse_spin};

/// The smallest app with this appended.
fn with(more: &str) -> String {
    format!("[app]\nname = \"shop\"\n\n[function.hello]\nsource = \"hello.wasm\"\n{more}")
}

fn gust_fault(text: &str) -> String {
    match parse_gust(text) {
        Err(error) => error.to_string(),
        Ok((spec, _)) => panic!("no fault in {text}\n{spec:#?}"),
    }
}

fn spin_fault(text: &str) -> String {
    match parse_spin(text, None) {
        Err(error) => error.to_string(),
        Ok((spec, _)) => panic!("no fault in {text}\n{spec:#?}"),
    }
}

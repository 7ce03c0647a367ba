//! The seam's own checks.

use gust_runtime::suite::{self, Specimens};

use crate::kit::{guest, shared};

#[tokio::test]
async fn components_of_wasi_0_3_pass_the_suite() {
    check("p3").await;
}

#[tokio::test]
async fn components_of_wasi_0_2_pass_the_suite() {
    check("p2").await;
}

async fn check(generation: &str) {
    let bench = shared();
    let specimens = Specimens {
        hello: bench.put(&format!("hello-{generation}")),
        echo: bench.put(&format!("echo-{generation}")),
        faults: bench.put(&format!("faults-{generation}")),
        broken: Some(bench.artifacts.put(&guest("hello-p2")[..1000]).unwrap()),
    };
    suite::check(&bench.runtime, &specimens, true).await;
}

//! Usage, bills and budgets.

use std::time::Duration;

use gust_api::deploy::{DeployRequest, Event};
use gust_api::usage::{BillQuery, Budget, GroupBy, RecordQuery, Standing, UsageQuery};
use gust_types::{Kind, ProjectName};

use crate::harness::{app, app_name, eventually, function_name, node, project};

fn budget(monthly: &str) -> Budget {
    Budget {
        monthly: monthly.into(),
        warn_percent: None,
    }
}

#[tokio::test]
async fn calls_are_on_the_bill() {
    let node = node().await;
    node.upload("one").await;
    node.deploy(app("shop", "one")).await.unwrap();
    for _ in 0..5 {
        node.call("shop").await.unwrap();
    }
    eventually("five records", async || {
        let records = node
            .client
            .records(Some(&project()), &RecordQuery::default())
            .await
            .unwrap();
        records.records.len() == 5
    })
    .await;
    let usage = node
        .client
        .usage(Some(&project()), &UsageQuery::default())
        .await
        .unwrap();
    assert_eq!(
        (usage.rows.len(), usage.total.calls, usage.total.ok),
        (1, 5, 5)
    );
    assert_eq!(usage.rows[0].function.as_ref().unwrap().as_str(), "main");
    let query = UsageQuery {
        by: Some(GroupBy::Project),
        app: Some(app_name("nothing")),
        ..Default::default()
    };
    assert!(
        node.client
            .usage(Some(&project()), &query)
            .await
            .unwrap()
            .rows
            .is_empty()
    );
    let bill = node
        .client
        .bill(Some(&project()), &BillQuery::default())
        .await
        .unwrap();
    assert_eq!(bill.currency, "USD");
    assert_eq!(
        bill.lines[0].cost.calls, "0.000001",
        "five calls at 0.20 a million"
    );
    let bad = BillQuery {
        month: Some("last".into()),
        ..Default::default()
    };
    assert_eq!(
        node.client
            .bill(Some(&project()), &bad)
            .await
            .unwrap_err()
            .kind,
        Kind::Invalid
    );
    let stranger = ProjectName::new("nobody").unwrap();
    assert_eq!(
        node.client
            .bill(Some(&stranger), &BillQuery::default())
            .await
            .unwrap_err()
            .kind,
        Kind::NotFound
    );
}

#[tokio::test]
async fn usage_and_bills_are_told_apart_as_asked_and_over_all_projects() {
    let node = node().await;
    let other = ProjectName::new("other").unwrap();
    node.client.create_project(&other).await.unwrap();
    node.upload("one").await;
    node.deploy(app("shop", "one")).await.unwrap();
    node.deploy(app("blog", "one")).await.unwrap();
    let request = DeployRequest {
        app: app("shop", "one"),
        variables: Default::default(),
    };
    node.client
        .deploy(&other, &request, &mut |_: &Event| {})
        .await
        .unwrap();
    for (project, app, calls) in [
        (project(), "shop", 3),
        (project(), "blog", 2),
        (other, "shop", 4),
    ] {
        for _ in 0..calls {
            let request = http::Request::get("/")
                .body(gust_types::call::empty())
                .unwrap();
            let (app, main) = (app_name(app), function_name("main"));
            let invoked = node.client.invoke(&project, &app, &main, request).await;
            let body = invoked.unwrap().response.into_body();
            http_body_util::BodyExt::collect(body).await.unwrap();
        }
    }
    eventually("nine calls are settled", async || {
        let usage = node
            .client
            .usage(None, &UsageQuery::default())
            .await
            .unwrap();
        usage.total.calls == 9
    })
    .await;
    let mut totals = Vec::new();
    for (by, lines) in [
        (GroupBy::Project, vec!["default 5", "other 4"]),
        (
            GroupBy::App,
            vec!["default/blog 2", "default/shop 3", "other/shop 4"],
        ),
        (
            GroupBy::Function,
            vec![
                "default/blog/main 2",
                "default/shop/main 3",
                "other/shop/main 4",
            ],
        ),
    ] {
        let query = BillQuery {
            by: Some(by),
            ..Default::default()
        };
        let bill = node.client.bill(None, &query).await.unwrap();
        let found: Vec<String> = bill
            .lines
            .iter()
            .map(|l| {
                let app = l.app.as_ref().map(|a| format!("/{a}")).unwrap_or_default();
                let function = l
                    .function
                    .as_ref()
                    .map(|f| format!("/{f}"))
                    .unwrap_or_default();
                format!("{}{app}{function} {}", l.project, l.usage.calls)
            })
            .collect();
        assert_eq!(
            (bill.project, found),
            (None, lines.iter().map(ToString::to_string).collect())
        );
        totals.push(bill.total);
    }
    assert!(totals.iter().all(|t| *t == totals[0]), "{totals:?}");
    let query = UsageQuery {
        by: Some(GroupBy::Project),
        ..Default::default()
    };
    let usage = node.client.usage(None, &query).await.unwrap();
    let rows: Vec<_> = usage
        .rows
        .iter()
        .map(|r| (r.project.as_str(), r.totals.calls))
        .collect();
    assert_eq!(rows, [("default", 5), ("other", 4)]);
    let records = node
        .client
        .records(None, &RecordQuery::default())
        .await
        .unwrap();
    assert_eq!(records.records.len(), 9);
    let bill = node
        .client
        .bill(Some(&project()), &BillQuery::default())
        .await
        .unwrap();
    assert_eq!((bill.project, bill.lines.len()), (Some(project()), 2));
}

#[tokio::test]
async fn a_budget_refuses_within_a_second_of_its_sum() {
    let node = node().await;
    node.upload("one").await;
    node.deploy(app("shop", "one")).await.unwrap();
    node.call("shop").await.unwrap();
    let state = node
        .client
        .set_budget(&project(), budget("0.000000001"))
        .await
        .unwrap();
    assert_eq!(state.standing, Standing::Refuse);
    let error = node.call("shop").await.unwrap_err();
    assert_eq!(error.kind, Kind::Exhausted);
    assert!(error.message.contains("budget"), "{}", error.message);
    let raw = node
        .authorized(
            "POST",
            "/v1/projects/default/apps/shop/functions/main/invoke",
            "",
            "",
        )
        .await;
    assert!(raw.starts_with("HTTP/1.1 429"), "{raw}");
    assert!(raw.to_ascii_lowercase().contains("retry-after:"), "{raw}");
    let status = node.client.status().await.unwrap();
    assert!(
        status.warnings.iter().any(|w| w.contains("budget")),
        "{:?}",
        status.warnings
    );

    node.client
        .set_budget(&project(), budget("100"))
        .await
        .unwrap();
    node.call("shop").await.unwrap();
    node.client.clear_budget(&project()).await.unwrap();
    assert_eq!(node.client.budget(&project()).await.unwrap().budget, None);

    // Crossed by calls, not by setting it.
    let spent = node.client.budget(&project()).await.unwrap().spent;
    let a_little_more = spent.parse::<gust_meter::Money>().unwrap().nanos() + 500;
    let sum = gust_meter::Money::from_nanos(a_little_more).to_string();
    node.client
        .set_budget(&project(), budget(&sum))
        .await
        .unwrap();
    let mut refused_after = None;
    let began = std::time::Instant::now();
    for calls in 0..1000 {
        if node.call("shop").await.is_err() {
            refused_after = Some((calls, began.elapsed()));
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (calls, time) = refused_after.expect("it refuses");
    assert!(
        calls >= 1 && time < Duration::from_secs(2),
        "{calls} calls, {time:?}"
    );
}

#[tokio::test]
async fn budgets_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    {
        let node = crate::harness::open(folder.path(), Default::default()).await;
        node.upload("one").await;
        node.deploy(app("shop", "one")).await.unwrap();
        node.client
            .set_budget(&project(), budget("0"))
            .await
            .unwrap();
    }
    let node = crate::harness::open(folder.path(), Default::default()).await;
    node.upload("one").await;
    assert_eq!(
        node.call("shop").await.unwrap_err().kind,
        Kind::Exhausted,
        "from the first call on"
    );
}

#[tokio::test]
async fn nonsense_is_no_budget() {
    let node = node().await;
    for monthly in [
        "-1",
        "much",
        "1.0000000001",
        "99999999999999999999",
        "9999999999999999999",
    ] {
        let error = node
            .client
            .set_budget(&project(), budget(monthly))
            .await
            .unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{monthly}");
    }
}

//! Clients of others over the AWS door: boto3 and the aws command line, with keys of two projects.

use anyhow::{Result, ensure};
use gust_scenarios::{
    Node,
    visitors::{Visitors, with_door},
};

#[test]
fn clients_of_others_do_all_that_the_page_says() -> Result<()> {
    let node = Node::start_with(with_door("aws", None))?;
    let visitors = Visitors::of_two(&node, node.aws)?;
    visitors.do_all(&node, "aws.py", "aws.md")?;
    // What boto3 made and left is there for `gust` as well.
    let queues = node.json(&["queue", "ls"])?;
    let queues = queues.to_string();
    ensure!(queues.contains("\"source\""), "{queues}");
    Ok(())
}

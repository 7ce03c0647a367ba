//! What is served: one table. Everything else that these services have is refused by its name.

use futures::future::BoxFuture;
use serde_json::Value;

use gust_backend::counts::Class::{self, List, Read, Write};

use crate::{
    events,
    fault::{Code, Fault, Result},
    gate::Call,
    sns,
    sqs::{moves, queues, receive, send, settle, tags},
};

/// One of the services that are spoken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Queues.
    Sqs,
    /// Topics, and queues that are subscribed to them.
    Sns,
    /// Topics, as event buses.
    Events,
}

/// Runs an operation.
pub(crate) type Run = for<'a> fn(&'a Call<'a>) -> BoxFuture<'a, Result<Value>>;

/// An operation that is served.
#[derive(Clone, Copy)]
pub struct Operation {
    /// Whose it is.
    pub service: Service,
    /// As the service names it.
    pub name: &'static str,
    /// What it is counted as.
    pub class: Class,
    pub(crate) run: Run,
}

macro_rules! served {
    ($($service:ident $name:literal $class:ident $run:path;)*) => {
        &[$(Operation {
            service: Service::$service,
            name: $name,
            class: $class,
            run: |call| Box::pin($run(call)),
        }),*]
    };
}

/// Everything that is served.
pub const SERVED: &[Operation] = served! {
    Sqs "CancelMessageMoveTask" Write moves::cancel;
    Sqs "ChangeMessageVisibility" Write settle::change;
    Sqs "ChangeMessageVisibilityBatch" Write settle::change_batch;
    Sqs "CreateQueue" Write queues::create;
    Sqs "DeleteMessage" Write settle::delete;
    Sqs "DeleteMessageBatch" Write settle::delete_batch;
    Sqs "DeleteQueue" Write queues::delete;
    Sqs "GetQueueAttributes" Read queues::get_attributes;
    Sqs "GetQueueUrl" Read queues::url;
    Sqs "ListDeadLetterSourceQueues" List queues::sources;
    Sqs "ListMessageMoveTasks" List moves::list;
    Sqs "ListQueues" List queues::list;
    Sqs "ListQueueTags" List tags::list;
    Sqs "PurgeQueue" Write queues::purge;
    Sqs "ReceiveMessage" Read receive::receive;
    Sqs "SendMessage" Write send::send;
    Sqs "SendMessageBatch" Write send::send_batch;
    Sqs "SetQueueAttributes" Write queues::set_attributes;
    Sqs "StartMessageMoveTask" Write moves::start;
    Sqs "TagQueue" Write tags::tag;
    Sqs "UntagQueue" Write tags::untag;
    Sns "CreateTopic" Write sns::topics::create;
    Sns "DeleteTopic" Write sns::topics::delete;
    Sns "GetSubscriptionAttributes" Read sns::subscriptions::attributes;
    Sns "GetTopicAttributes" Read sns::topics::attributes;
    Sns "ListSubscriptions" List sns::subscriptions::list;
    Sns "ListSubscriptionsByTopic" List sns::subscriptions::list_by_topic;
    Sns "ListTopics" List sns::topics::list;
    Sns "Publish" Write sns::publish::publish;
    Sns "PublishBatch" Write sns::publish::publish_batch;
    Sns "SetSubscriptionAttributes" Write sns::subscriptions::set_attributes;
    Sns "SetTopicAttributes" Write sns::topics::set_attributes;
    Sns "Subscribe" Write sns::subscriptions::subscribe;
    Sns "Unsubscribe" Write sns::subscriptions::unsubscribe;
    Events "PutEvents" Write events::put;
};

/// Known to SQS, and refused by name.
const REFUSED: &[&str] = &["AddPermission", "RemovePermission"];

/// The operation of this name.
pub(crate) fn find(service: Service, name: &str) -> Result<&'static Operation> {
    let mut served = SERVED.iter();
    let found = served.find(|of| of.service == service && of.name == name);
    found.ok_or_else(|| match service {
        Service::Sqs if !REFUSED.contains(&name) => {
            Code::NO_ACTION.says(format!("The action {name} is not valid for this endpoint."))
        }
        Service::Sqs => Fault::not_served(name),
        _ => Code::NO_ACTION.says(format!("{name} is not served here.")),
    })
}

//! Errors in the words of these services. Each has two names: one of the JSON protocol, and an older one that the form
//! protocol has, and SDKs still read.

use gust_types::{Blame, Error, Kind};
use http::StatusCode;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: Code,
    pub(crate) message: String,
}

/// Which error it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code {
    /// As JSON names it, behind its namespace.
    pub(crate) json: &'static str,
    /// As forms name it.
    pub(crate) query: &'static str,
    pub(crate) status: StatusCode,
}

pub(crate) type Result<T> = std::result::Result<T, Fault>;

const BAD: StatusCode = StatusCode::BAD_REQUEST;

const fn code(json: &'static str, query: &'static str, status: StatusCode) -> Code {
    Code {
        json,
        query,
        status,
    }
}

macro_rules! codes {
    ($($name:ident = $json:literal, $query:literal, $status:expr;)*) => {
        impl Code {
            $(pub(crate) const $name: Code = code($json, $query, $status);)*
        }
    };
}

codes! {
    NO_QUEUE = "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", BAD;
    QUEUE_EXISTS = "QueueNameExists", "QueueAlreadyExists", BAD;
    IDS_NOT_DISTINCT = "BatchEntryIdsNotDistinct", "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", BAD;
    BATCH_TOO_LONG = "BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong", BAD;
    EMPTY_BATCH = "EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest", BAD;
    TOO_MANY_ENTRIES = "TooManyEntriesInBatchRequest", "AWS.SimpleQueueService.TooManyEntriesInBatchRequest", BAD;
    ENTRY_ID = "InvalidBatchEntryId", "AWS.SimpleQueueService.InvalidBatchEntryId", BAD;
    NOT_IN_FLIGHT = "MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight", BAD;
    UNSUPPORTED = "UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation", BAD;
    OVER_LIMIT = "OverLimit", "OverLimit", StatusCode::FORBIDDEN;
    HANDLE = "ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", BAD;
    ATTRIBUTE_NAME = "InvalidAttributeName", "InvalidAttributeName", BAD;
    ATTRIBUTE_VALUE = "InvalidAttributeValue", "InvalidAttributeValue", BAD;
    CONTENTS = "InvalidMessageContents", "InvalidMessageContents", BAD;
    PARAMETER = "InvalidParameterValueException", "InvalidParameterValue", BAD;
    MISSING = "MissingRequiredParameterException", "MissingParameter", BAD;
    NO_ACTION = "UnknownOperationException", "InvalidAction", BAD;
    MALFORMED = "SerializationException", "MalformedInput", BAD;
    TOO_LARGE = "RequestEntityTooLargeException", "RequestEntityTooLarge", StatusCode::PAYLOAD_TOO_LARGE;
    NO_RESOURCE = "ResourceNotFoundException", "ResourceNotFoundException", StatusCode::NOT_FOUND;
    ADDRESS = "InvalidAddress", "InvalidAddress", StatusCode::NOT_FOUND;
    THROTTLED = "RequestThrottled", "RequestThrottled", StatusCode::SERVICE_UNAVAILABLE;
    UNAVAILABLE = "ServiceUnavailable", "ServiceUnavailable", StatusCode::SERVICE_UNAVAILABLE;
    INTERNAL = "InternalFailure", "InternalFailure", StatusCode::INTERNAL_SERVER_ERROR;
    TIMEOUT = "RequestTimeout", "RequestTimeout", StatusCode::REQUEST_TIMEOUT;
    // Of signatures.
    UNSIGNED = "MissingAuthenticationToken", "MissingAuthenticationToken", StatusCode::FORBIDDEN;
    INCOMPLETE = "IncompleteSignature", "IncompleteSignature", BAD;
    NO_KEY = "InvalidClientTokenId", "InvalidClientTokenId", StatusCode::FORBIDDEN;
    SIGNATURE = "SignatureDoesNotMatch", "SignatureDoesNotMatch", StatusCode::FORBIDDEN;
    // Of SNS, whose codes are those of forms, and of EventBridge, which has none but JSON's.
    SNS_PARAMETER = "InvalidParameterException", "InvalidParameter", BAD;
    SNS_NOT_FOUND = "NotFoundException", "NotFound", StatusCode::NOT_FOUND;
    SNS_LIMIT = "SubscriptionLimitExceededException", "SubscriptionLimitExceeded", StatusCode::FORBIDDEN;
    VALIDATION = "ValidationException", "ValidationError", BAD;
}

// === impl Code ===

impl Code {
    pub(crate) fn says(self, message: impl Into<String>) -> Fault {
        Fault {
            code: self,
            message: message.into(),
        }
    }

    /// Whether the sender is at fault.
    pub(crate) fn is_senders(self) -> bool {
        self.status.is_client_error()
    }
}

// === impl Fault ===

impl Fault {
    pub(crate) fn no_queue() -> Self {
        Code::NO_QUEUE.says("The specified queue does not exist.")
    }

    pub(crate) fn missing(name: &str) -> Self {
        Code::MISSING.says(format!("The request must contain the parameter {name}."))
    }

    /// A parameter that cannot be so, and why.
    pub(crate) fn value(name: &str, value: &str, reason: &str) -> Self {
        let value: String = value.chars().take(200).collect();
        Code::PARAMETER.says(format!(
            "Value {value} for parameter {name} is invalid. Reason: {reason}."
        ))
    }

    /// Known to these services, and not served here.
    pub(crate) fn not_served(what: &str) -> Self {
        Code::UNSUPPORTED.says(format!("{what} is not served here."))
    }
}

/// What went wrong behind the door. What is ours goes to the log and not to the caller.
impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        if error.blame == Blame::Platform {
            tracing::warn!(error = error.chain(), "an aws request failed");
        }
        let code = match (error.kind, error.blame) {
            (Kind::Exhausted, Blame::Caller) => Code::OVER_LIMIT,
            (Kind::Unavailable | Kind::Timeout | Kind::Exhausted, _) => Code::UNAVAILABLE,
            (Kind::Internal | Kind::Failed, _) => {
                return Code::INTERNAL.says("the node failed; its log knows why");
            }
            (Kind::NotFound, _) => Code::NO_QUEUE,
            (Kind::Invalid | Kind::Denied | Kind::Conflict, _) => Code::PARAMETER,
        };
        match error.hint {
            Some(hint) => code.says(format!("{}; {hint}", error.message)),
            None => code.says(error.message),
        }
    }
}

//! The control plane: streams are made, described, listed and pointed to.

mod client;

use client::{Answer, Client};
use hyper::StatusCode;
use kvs_emulator::{Emulator, StreamSettings, StreamStatus};
use serde_json::{Value, json};

fn assert_error(answer: &Answer, status: StatusCode, error_type: &str) {
    assert_eq!((answer.status, answer.error_type()), (status, error_type));
    assert!(answer.json()["Message"].is_string());
}

#[tokio::test]
async fn a_stream_is_made_and_described() {
    let emulator = Emulator::builder().region("eu-west-1").start().unwrap();
    let client = Client::new(&emulator);
    let request = json!({ "StreamName": "door", "DataRetentionInHours": 2, "MediaType": "video/h264" });
    let made = client.call("/createStream", &request).await.json();
    let arn = made["StreamARN"].as_str().unwrap();
    assert!(arn.starts_with("arn:aws:kinesisvideo:eu-west-1:123456789012:stream/door/"), "{arn}");
    for selector in [json!({ "StreamName": "door" }), json!({ "StreamARN": arn })] {
        let info = client.call("/describeStream", &selector).await.json()["StreamInfo"].clone();
        assert_eq!(info["StreamName"], "door");
        assert_eq!(info["StreamARN"], arn);
        assert_eq!(info["Status"], "ACTIVE");
        assert_eq!(info["DataRetentionInHours"], 2);
        assert_eq!(info["MediaType"], "video/h264");
        assert_eq!(info["DeviceName"], Value::Null);
        assert!(info["CreationTime"].is_f64());
    }
    let again = client.call("/createStream", &request).await;
    assert_error(&again, StatusCode::BAD_REQUEST, "ResourceInUseException");
    let unnamed = client.call("/createStream", &json!({})).await;
    assert_error(&unnamed, StatusCode::BAD_REQUEST, "InvalidArgumentException");
    for refused in [
        json!({ "StreamName": "gate", "DataRetentionInHours": -1 }),
        json!({ "StreamName": "gate", "DataRetentionInHours": 87_601 }),
        json!({ "StreamName": "gate", "MediaType": "h264" }),
    ] {
        let answer = client.call("/createStream", &refused).await;
        assert_error(&answer, StatusCode::BAD_REQUEST, "InvalidArgumentException");
    }
    let misnamed = client.call("/createStream", &json!({ "StreamName": "a b" })).await;
    assert_error(&misnamed, StatusCode::BAD_REQUEST, "InvalidArgumentException");
}

#[tokio::test]
async fn streams_are_listed_in_pages_and_by_their_beginning() {
    let emulator = Emulator::builder().start().unwrap();
    let names: Vec<String> = (0..5).map(|number| format!("camera-{number}")).collect();
    for name in names.iter().chain([&"door".to_owned()]) {
        emulator.create_stream(name).unwrap();
    }
    let client = Client::new(&emulator);
    let condition = json!({ "ComparisonOperator": "BEGINS_WITH", "ComparisonValue": "camera" });
    let (mut listed, mut pages, mut token) = (Vec::new(), 0, Value::Null);
    loop {
        let mut request = json!({ "MaxResults": 2, "StreamNameCondition": condition });
        if !token.is_null() {
            request["NextToken"] = token;
        }
        let page = client.call("/listStreams", &request).await.json();
        let streams = page["StreamInfoList"].as_array().unwrap().clone();
        listed.extend(streams.iter().map(|stream| stream["StreamName"].as_str().unwrap().to_owned()));
        pages += 1;
        token = page["NextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!((listed, pages), (names, 3));
    let all = client.call("/listStreams", &json!({})).await.json();
    assert_eq!(all["StreamInfoList"].as_array().unwrap().len(), 6);
    for request in [json!({ "MaxResults": 0 }), json!({ "NextToken": "zz" })] {
        let answer = client.call("/listStreams", &request).await;
        assert_error(&answer, StatusCode::BAD_REQUEST, "InvalidArgumentException");
    }
}

#[tokio::test]
async fn every_member_of_a_stream_is_described_and_listed_alike() {
    let emulator = Emulator::builder().start().unwrap();
    let settings = StreamSettings {
        device_name: Some("porch".to_owned()),
        media_type: Some("video/h265,audio/aac".to_owned()),
        kms_key_id: Some("alias/own".to_owned()),
        retention_hours: 48,
        created: Some(1_511_852_109_126),
        ..StreamSettings::default()
    };
    let arn = emulator.create_stream_with("camera", settings).unwrap();
    let client = Client::new(&emulator);
    let described = client.call("/describeStream", &json!({ "StreamARN": arn })).await.json()["StreamInfo"].clone();
    let listed = client.call("/listStreams", &json!({})).await.json();
    assert_eq!(listed, json!({ "StreamInfoList": [described], "NextToken": null }));
    let wanted = json!({
        "DeviceName": "porch",
        "StreamName": "camera",
        "StreamARN": "arn:aws:kinesisvideo:us-west-2:123456789012:stream/camera/1511852109126",
        "MediaType": "video/h265,audio/aac",
        "KmsKeyId": "alias/own",
        "Version": described["Version"],
        "Status": "ACTIVE",
        "CreationTime": 1_511_852_109.126,
        "DataRetentionInHours": 48,
    });
    assert_eq!(described, wanted);
    assert_eq!(described["Version"].as_str().map(str::len), Some(20));
}

#[tokio::test]
async fn a_stream_that_is_not_active_is_listed_and_cannot_be_read() {
    let emulator = Emulator::builder().end_at_head(true).start().unwrap();
    emulator.create_stream("demo").unwrap();
    let client = Client::new(&emulator);
    let endpoint = json!({ "StreamName": "demo", "APIName": "GET_MEDIA" });
    let media = json!({ "StreamName": "demo", "StartSelector": { "StartSelectorType": "EARLIEST" } });
    for (status, name, usable) in [
        (StreamStatus::Creating, "CREATING", false),
        (StreamStatus::Deleting, "DELETING", false),
        (StreamStatus::Updating, "UPDATING", true),
        (StreamStatus::Active, "ACTIVE", true),
    ] {
        emulator.set_status("demo", status).unwrap();
        let listed = client.call("/listStreams", &json!({})).await.json();
        assert_eq!(listed["StreamInfoList"][0]["Status"], name);
        for (path, request) in [("/getDataEndpoint", &endpoint), ("/getMedia", &media)] {
            let answer = client.call(path, request).await;
            if usable {
                assert_eq!(answer.status, StatusCode::OK);
            } else {
                assert_error(&answer, StatusCode::NOT_FOUND, "ResourceNotFoundException");
            }
        }
    }
}

#[tokio::test]
async fn a_deleted_stream_is_gone_and_its_readers_reach_their_end() {
    let emulator = Emulator::builder().start().unwrap();
    emulator.create_stream("demo").unwrap();
    let client = Client::new(&emulator);
    let media = json!({ "StreamName": "demo", "StartSelector": { "StartSelectorType": "NOW" } });
    let reader = client.open("/getMedia", &media).await;
    emulator.delete_stream("demo").unwrap();
    assert!(Answer::read(reader).await.body.is_empty());
    let answer = client.call("/describeStream", &json!({ "StreamName": "demo" })).await;
    assert_error(&answer, StatusCode::NOT_FOUND, "ResourceNotFoundException");
    assert_eq!(client.call("/listStreams", &json!({})).await.json()["StreamInfoList"], json!([]));
    assert!(emulator.delete_stream("demo").is_err());
}

#[tokio::test]
async fn tags_that_no_client_would_send_are_refused() {
    let emulator = Emulator::builder().start().unwrap();
    emulator.create_stream("demo").unwrap();
    let client = Client::new(&emulator);
    for (path, member, refused) in [
        ("/untagStream", "TagKeyList", json!([])),
        ("/untagStream", "TagKeyList", json!(["place", 1])),
        ("/untagStream", "TagKeyList", json!("place")),
        ("/tagStream", "Tags", json!(null)),
        ("/tagStream", "Tags", json!(["place"])),
        ("/tagStream", "Tags", json!({ "place": 1 })),
        ("/createStream", "Tags", json!({ "place": "x".repeat(257) })),
    ] {
        let mut request = json!({ "StreamName": if path == "/createStream" { "other" } else { "demo" } });
        request[member] = refused;
        assert_error(&client.call(path, &request).await, StatusCode::BAD_REQUEST, "InvalidArgumentException");
    }
    let listed = client.call("/listStreams", &json!({})).await.json();
    assert_eq!(listed["StreamInfoList"].as_array().map(Vec::len), Some(1), "a refused stream is not made");
}

#[tokio::test]
async fn a_data_endpoint_is_the_emulator_itself() {
    let emulator = Emulator::builder().start().unwrap();
    let arn = emulator.create_stream("demo").unwrap();
    let client = Client::new(&emulator);
    for api in ["GET_MEDIA", "PUT_MEDIA", "LIST_FRAGMENTS", "GET_MEDIA_FOR_FRAGMENT_LIST"] {
        for request in [json!({ "StreamName": "demo", "APIName": api }), json!({ "StreamARN": arn, "APIName": api })] {
            let answer = client.call("/getDataEndpoint", &request).await;
            assert_eq!(answer.json(), json!({ "DataEndpoint": emulator.url() }));
        }
    }
    let invalid = (StatusCode::BAD_REQUEST, "InvalidArgumentException");
    let missing = (StatusCode::NOT_FOUND, "ResourceNotFoundException");
    let other_arn = arn.replace("demo", "other");
    for (request, (status, error_type)) in [
        (json!({ "StreamName": "other", "APIName": "GET_MEDIA" }), missing),
        (json!({ "StreamARN": other_arn, "APIName": "GET_MEDIA" }), missing),
        (json!({ "StreamName": "demo", "StreamARN": arn, "APIName": "GET_MEDIA" }), invalid),
        (json!({ "APIName": "GET_MEDIA" }), invalid),
        (json!({ "StreamName": "demo" }), invalid),
        (json!({ "StreamName": "demo", "APIName": "GET_NOTHING" }), invalid),
        (json!({ "StreamARN": "demo", "APIName": "GET_MEDIA" }), invalid),
    ] {
        assert_error(&client.call("/getDataEndpoint", &request).await, status, error_type);
    }
}

#[tokio::test]
async fn what_is_no_operation_or_no_json_is_refused() {
    let emulator = Emulator::builder().start().unwrap();
    let client = Client::new(&emulator);
    let answer = client.call("/deleteEverything", &json!({})).await;
    assert_eq!((answer.status, answer.error_type()), (StatusCode::NOT_FOUND, "UnknownOperationException"));
    let answer = client.call("/listStreams", &json!([])).await;
    assert_eq!((answer.status, answer.error_type()), (StatusCode::BAD_REQUEST, "SerializationException"));
    let answer = client.call("/describeStream", &json!({ "StreamName": 5 })).await;
    assert_eq!((answer.status, answer.error_type()), (StatusCode::BAD_REQUEST, "SerializationException"));
}

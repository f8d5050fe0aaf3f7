"""What boto3 and botocore make of the emulator: one check a line, the first that fails ends it with an error."""

import datetime
import http.client
import json
import sys
import urllib.parse

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

url, region, access_key, secret_key, capture, authority = sys.argv[1:7]
verify = authority or None
keys = {"region_name": region, "aws_access_key_id": access_key, "aws_secret_access_key": secret_key}
once = Config(retries={"total_max_attempts": 1})


def client(service, endpoint=url, **changes):
    return boto3.client(service, endpoint_url=endpoint, verify=verify, config=once, **{**keys, **changes})


def refused(error_type, status, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        answer = error.response
        # boto3 does not read the header in which calls for media name their errors.
        metadata = answer["ResponseMetadata"]
        code = metadata["HTTPHeaders"].get("x-amz-errortype", answer["Error"]["Code"])
        found = (code, metadata["HTTPStatusCode"])
        assert found == (error_type, status), found
        assert answer["Error"]["Message"], answer
        assert answer["ResponseMetadata"]["RequestId"], answer
        return
    raise AssertionError(f"{error_type} was expected")


def read(selector, stream="demo"):
    endpoint = video.get_data_endpoint(StreamName=stream, APIName="GET_MEDIA")["DataEndpoint"]
    answer = client("kinesis-video-media", endpoint).get_media(StreamName=stream, StartSelector=selector)
    assert answer["ContentType"] == "video/webm", answer
    return answer["Payload"].read()


def fragment_numbers(body):
    """The number in each chunk: the 47 digits behind the tag's name."""
    name = b"AWS_KINESISVIDEO_FRAGMENT_NUMBER"
    pieces = body.split(name)[1:]
    return [piece[piece.index(b"9134"):][:47].decode() for piece in pieces]


video = client("kinesisvideo")

arn = video.create_stream(StreamName="made", DataRetentionInHours=2, MediaType="video/h264")["StreamARN"]
info = video.describe_stream(StreamARN=arn)["StreamInfo"]
assert (info["StreamName"], info["Status"], info["DataRetentionInHours"]) == ("made", "ACTIVE", 2), info
age = datetime.datetime.now(datetime.timezone.utc) - info["CreationTime"]
assert datetime.timedelta(0) <= age < datetime.timedelta(minutes=5), age
refused("ResourceInUseException", 400, video.create_stream, StreamName="made")
refused("ResourceNotFoundException", 404, video.describe_stream, StreamName="missing")
pages = list(video.get_paginator("list_streams").paginate(PaginationConfig={"PageSize": 1}))
names = [stream["StreamName"] for page in pages for stream in page["StreamInfoList"]]
assert (names, len(pages)) == (["demo", "made"], 2), (names, len(pages))
for stream in (stream for page in pages for stream in page["StreamInfoList"]):
    assert stream == video.describe_stream(StreamName=stream["StreamName"])["StreamInfo"], stream
    assert stream["StreamARN"].endswith(f"/{round(stream['CreationTime'].timestamp() * 1000)}"), stream
    hours, media_type = (2, "video/h264") if stream["StreamName"] == "made" else (24, None)
    assert (stream["DataRetentionInHours"], stream.get("MediaType")) == (hours, media_type), stream
beginning = {"ComparisonOperator": "BEGINS_WITH", "ComparisonValue": "ma"}
named = video.list_streams(StreamNameCondition=beginning)["StreamInfoList"]
assert [stream["StreamName"] for stream in named] == ["made"], named
print("streams are made, described and listed")

tags = {"place": "front door", "Straße": "7", "empty": ""}
tagged = video.create_stream(StreamName="tagged", Tags=tags)["StreamARN"]
listed = video.list_tags_for_stream(StreamARN=tagged)
assert (listed["Tags"], listed.get("NextToken")) == (tags, None), listed
assert video.list_tags_for_stream(StreamName="made")["Tags"] == {}
video.tag_stream(StreamName="tagged", Tags={"place": "back door", "camera": "1"})
assert video.list_tags_for_stream(StreamName="tagged")["Tags"] == {**tags, "place": "back door", "camera": "1"}
video.untag_stream(StreamARN=tagged, TagKeyList=["Straße", "empty", "missing"])
assert video.list_tags_for_stream(StreamName="tagged")["Tags"] == {"place": "back door", "camera": "1"}
many = {f"tag {number}": "" for number in range(48)}
video.tag_stream(StreamARN=tagged, Tags=many)
for call, name in ((video.tag_stream, "tagged"), (video.create_stream, "other")):
    fresh = {**many, "one": "more", "camera": "2", "and": "another"} if name == "other" else {"one": "more"}
    error_type = "TagsPerResourceExceededLimitException" if name == "tagged" else "InvalidArgumentException"
    refused(error_type, 400, call, StreamName=name, Tags=fresh)
assert video.list_tags_for_stream(StreamName="tagged")["Tags"] == {"place": "back door", "camera": "1", **many}
video.tag_stream(StreamARN=tagged, Tags={"camera": "2"})
refused("ResourceNotFoundException", 404, video.tag_stream, StreamName="missing", Tags=tags)
refused("ResourceNotFoundException", 404, video.untag_stream, StreamName="missing", TagKeyList=["place"])
refused("ResourceNotFoundException", 404, video.list_tags_for_stream, StreamName="missing")
refused("InvalidArgumentException", 400, video.list_tags_for_stream)
refused("InvalidArgumentException", 400, video.list_tags_for_stream, StreamName="made", NextToken="AAAA")
refused("InvalidArgumentException", 400, video.tag_stream, StreamName="made", Tags={"aws:own": "1"})
refused("InvalidArgumentException", 400, video.tag_stream, StreamName="made", Tags={"comma,": "1"})
refused("InvalidArgumentException", 400, video.tag_stream, StreamName="made", Tags={})
assert video.list_tags_for_stream(StreamName="made")["Tags"] == {}
print("streams are tagged and untagged")

assert video.get_data_endpoint(StreamName="demo", APIName="GET_MEDIA")["DataEndpoint"] == url
producer = video.get_data_endpoint(StreamARN=arn, APIName="PUT_MEDIA")["DataEndpoint"]
# A producer cannot speak HTTP/2, which is offered elsewhere.
assert (producer == url) == (not authority) and producer.startswith(url.rpartition(":")[0]), producer
find = video.get_data_endpoint
refused("ResourceNotFoundException", 404, find, StreamName="missing", APIName="GET_MEDIA")
refused("InvalidArgumentException", 400, find, StreamName="made", StreamARN=arn, APIName="GET_MEDIA")
refused("InvalidArgumentException", 400, find, APIName="GET_MEDIA")
print("data endpoints are found")

refused("InvalidSignatureException", 403, client("kinesisvideo", aws_secret_access_key="wrong").list_streams)
refused("UnrecognizedClientException", 403, client("kinesisvideo", aws_access_key_id="AKIAWRONG").list_streams)
refused("UnrecognizedClientException", 403, client("kinesisvideo", aws_session_token="wrong").list_streams)
refused("InvalidSignatureException", 403, client("kinesisvideo", region_name="ap-south-1").list_streams)
earliest = {"StartSelectorType": "EARLIEST"}
wrong = client("kinesis-video-media", aws_secret_access_key="wrong").get_media
refused("InvalidSignatureException", 403, wrong, StreamName="demo", StartSelector=earliest)
print("wrong secrets are refused")

with open(capture, "rb") as file:
    numbers = fragment_numbers(file.read())
assert len(numbers) == 5, numbers
start = datetime.datetime.fromtimestamp(1511852110.513, datetime.timezone.utc)
selectors = [
    (earliest, 0),
    ({"StartSelectorType": "NOW"}, 4),
    ({"StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": numbers[1]}, 2),
    ({"StartSelectorType": "CONTINUATION_TOKEN", "ContinuationToken": numbers[2]}, 3),
    ({"StartSelectorType": "PRODUCER_TIMESTAMP", "StartTimestamp": start + datetime.timedelta(seconds=1)}, 1),
    ({"StartSelectorType": "SERVER_TIMESTAMP", "StartTimestamp": 1511852113}, 2),
]
for selector, first in selectors:
    found = fragment_numbers(read(selector))
    assert found == numbers[first:], (selector, found)
media = client("kinesis-video-media")
refused("ResourceNotFoundException", 404, media.get_media, StreamName="missing", StartSelector=earliest)
half = {"StartSelectorType": "FRAGMENT_NUMBER"}
refused("InvalidArgumentException", 400, media.get_media, StreamName="demo", StartSelector=half)
print("media is read from all six selectors")

archive_endpoint = video.get_data_endpoint(StreamName="demo", APIName="LIST_FRAGMENTS")["DataEndpoint"]
archive = client("kinesis-video-archived-media", archive_endpoint)


def selected(origin, begin, end):
    times = {"StartTimestamp": begin, "EndTimestamp": end}
    return {"FragmentSelectorType": origin, "TimestampRange": times}


first, last = 1511852108, 1511852117
for origin, times in (("PRODUCER_TIMESTAMP", "ProducerTimestamp"), ("SERVER_TIMESTAMP", "ServerTimestamp")):
    everything = selected(origin, 0, 2000000000)
    pages = archive.get_paginator("list_fragments").paginate(
        StreamName="demo", FragmentSelector=everything, PaginationConfig={"PageSize": 2}
    )
    pages = [page["Fragments"] for page in pages]
    assert [len(page) for page in pages] == [2, 2, 1], pages
    listed = [fragment for page in pages for fragment in page]
    assert sorted(fragment["FragmentNumber"] for fragment in listed) == numbers, listed
    assert [fragment["FragmentNumber"] for fragment in listed] != numbers, "unordered"
    for fragment in listed:
        assert 1990 <= fragment["FragmentLengthInMilliseconds"] <= 2010, fragment
        assert 100000 < fragment["FragmentSizeInBytes"] < 2000000, fragment
    within = selected(origin, first, first + 4)
    found = archive.list_fragments(StreamName="demo", FragmentSelector=within, MaxResults=1000)
    found = sorted(fragment["FragmentNumber"] for fragment in found["Fragments"])
    begins = {fragment["FragmentNumber"]: fragment[times].timestamp() for fragment in listed}
    assert found == [number for number in numbers if first <= begins[number] <= first + 4], found
    assert 0 < len(found) < 5, found
listing = archive.list_fragments
refused("InvalidArgumentException", 400, listing, StreamName="demo")
refused("InvalidArgumentException", 400, listing, StreamName="demo", NextToken="AAAA")
refused("InvalidArgumentException", 400, listing, StreamName="demo", FragmentSelector=selected(origin, 5, 4))
refused("ResourceNotFoundException", 404, listing, StreamName="missing", FragmentSelector=everything)
old = selected("SERVER_TIMESTAMP", 0, 1000)
refused("InvalidArgumentException", 400, listing, StreamName="made", FragmentSelector=old)
print("fragments are listed")

archive_endpoint = video.get_data_endpoint(StreamARN=arn, APIName="GET_MEDIA_FOR_FRAGMENT_LIST")["DataEndpoint"]
fetch = client("kinesis-video-archived-media", archive_endpoint).get_media_for_fragment_list
asked = [numbers[3], numbers[0], numbers[4]]
answer = fetch(StreamName="demo", Fragments=asked)
assert answer["ContentType"] == "video/webm", answer
fetched = answer["Payload"].read()
assert fragment_numbers(fetched) == asked, fragment_numbers(fetched)
assert b"CONTINUATION_TOKEN" not in fetched
fetched = fetch(StreamName="demo", Fragments=[numbers[0], "91340000000000000000000000000000000000000000007"])
fetched = fetched["Payload"].read()
assert b"FRAGMENT_NOT_FOUND" in fetched and len(fragment_numbers(fetched)) == 2
refused("ResourceNotFoundException", 404, fetch, StreamName="missing", Fragments=asked)
refused("InvalidArgumentException", 400, fetch, StreamName="made", Fragments=asked)
refused("InvalidArgumentException", 400, fetch, StreamName="demo", Fragments=["x"])
print("fragments are fetched")


def put(secret, stream, pieces):
    """PutMedia is in no SDK model: signed by botocore, its body unsigned and sent piece by piece."""
    headers = {
        "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
        "x-amzn-stream-name": stream,
        "x-amzn-fragment-timecode-type": "RELATIVE",
        "x-amzn-producer-start-timestamp": "1700000000.000",
    }
    endpoint = video.get_data_endpoint(StreamName="made", APIName="PUT_MEDIA")["DataEndpoint"]
    request = AWSRequest("POST", endpoint + "/putMedia", headers)
    SigV4Auth(Credentials(access_key, secret), "kinesisvideo", region).add_auth(request)
    target = urllib.parse.urlsplit(endpoint)
    if target.scheme == "https":
        import ssl

        context = ssl.create_default_context(cafile=authority)
        connection = http.client.HTTPSConnection(target.hostname, target.port, timeout=30, context=context)
    else:
        connection = http.client.HTTPConnection(target.hostname, target.port, timeout=30)
    connection.request("POST", "/putMedia", body=iter(pieces), headers=dict(request.headers), encode_chunked=True)
    answer = connection.getresponse()
    return answer, answer.read()


with open(capture, "rb") as file:
    body = file.read()
# A producer sends one document, and not the tags that the service put around the media.
tags, cluster = b"\x12\x54\xc3\x67", b"\x1f\x43\xb6\x75"
number = body.index(b"AWS_KINESISVIDEO_FRAGMENT_NUMBER")
begin = body.index(cluster, number)
end = body.rindex(tags, begin, body.index(b"AWS_KINESISVIDEO_MILLIS_BEHIND_NOW"))
producer = body[: body.rindex(tags, 0, number)] + body[begin:end]
pieces = [producer[start : start + 4096] for start in range(0, len(producer), 4096)]
answer, said = put(secret_key, "made", pieces)
assert answer.status == 200, (answer.status, said)
lines = [json.loads(line) for line in said.splitlines()]
assert [line["EventType"] for line in lines] == ["BUFFERING", "RECEIVED", "PERSISTED"], lines
assert all(line["FragmentTimecode"] == 0 and len(line["FragmentNumber"]) == 47 for line in lines), lines
served = read(earliest, "made")
assert fragment_numbers(served) == [lines[0]["FragmentNumber"]]
assert body[begin:end] in served
answer, said = put("wrong", "made", pieces)
assert (answer.status, answer.getheader("x-amz-ErrorType")) == (403, "InvalidSignatureException"), said
print("media is put and read back")

use super::*;

fn listed(number: u64) -> Listed {
    let number = FragmentNumber::new(&number.to_string()).unwrap();
    Listed { number, timestamp: 0, length: 1000, size: 10 }
}

fn stored(number: &FragmentNumber) -> Stored {
    Stored { number: number.clone(), elements: Vec::new(), size: 10 }
}

/// What is ready at once.
async fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        value = future => Some(value),
        () = std::future::ready(()) => None,
    }
}

#[tokio::test]
async fn fragments_are_dealt_in_turn_and_taken_in_order() {
    let board = Board::new(3, 1000);
    board.add((0..10).map(listed).collect());
    let places = |hand: &[Wanted]| hand.iter().map(|wanted| wanted.place).collect::<Vec<_>>();
    let first = board.claim(0, 4).unwrap();
    assert_eq!(places(&first), [0, 1]);
    // Until these have been taken, one call is enough.
    assert!(board.claim(1, 4).is_none());
    for wanted in first {
        board.fill(wanted.place, stored(&wanted.number));
        assert!(matches!(board.take().await, Ok(Next::Fragment(..))));
    }
    let hands = [board.claim(2, 4).unwrap(), board.claim(0, 4).unwrap(), board.claim(1, 4).unwrap()];
    assert_eq!(hands.each_ref().map(|hand| places(hand)), [vec![2, 5, 8], vec![3, 6, 9], vec![4, 7]]);
    for wanted in hands.iter().rev().flatten() {
        board.fill(wanted.place, stored(&wanted.number));
    }
    board.all_listed();
    for number in 2..10 {
        let Next::Fragment(_, fragment) = board.take().await.unwrap() else { panic!("fragment {number}") };
        assert_eq!(fragment.number.as_str(), number.to_string());
    }
    assert!(matches!(board.take().await.unwrap(), Next::End));
    assert!(board.claim(0, 4).is_none());
}

#[tokio::test]
async fn backward_a_call_names_few_fragments() {
    let board = Board::new(2, 1000).backward();
    board.add((0..100).map(listed).collect());
    for wanted in board.claim(0, 4).unwrap() {
        board.fill(wanted.place, stored(&wanted.number));
        assert!(matches!(board.take().await, Ok(Next::Fragment(..))));
    }
    for lane in [0, 1, 0, 1] {
        assert_eq!(board.claim(lane, 4).unwrap().len(), MOST_BACKWARD);
    }
}

#[tokio::test]
async fn in_bulk_the_first_call_goes_on_with_its_share() {
    let board = Board::new(3, 1000).in_bulk(true);
    board.add((0..10).map(listed).collect());
    let places = |hand: &[Wanted]| hand.iter().map(|wanted| wanted.place).collect::<Vec<_>>();
    let first = board.claim(0, 4).unwrap();
    assert_eq!(places(&first), [0, 1, 2, 5, 8]);
    for wanted in &first[..2] {
        assert!(board.claim(1, 4).is_none());
        board.fill(wanted.place, stored(&wanted.number));
        assert!(matches!(board.take().await, Ok(Next::Fragment(..))));
    }
    let hands = [board.claim(1, 4).unwrap(), board.claim(2, 4).unwrap()];
    assert_eq!(hands.each_ref().map(|hand| places(hand)), [vec![3, 6, 9], vec![4, 7]]);
    assert!(board.claim(1, 4).is_none());
    for (lanes, calls) in [(1, 1), (5, 5)] {
        let board = Board::new(lanes, 1000).in_bulk(true);
        board.add((0..20_000).map(listed).collect());
        let mut state = board.lock();
        state.deal(lanes, MOST_FRAGMENTS, None, true);
        assert_eq!(state.dealt.len(), calls);
        assert!(state.dealt.iter().all(|hand| hand.len() <= MOST_FRAGMENTS && hand.len() >= MOST_FRAGMENTS - 2));
    }
}

#[tokio::test]
async fn only_who_has_the_next_fragment_reads_past_the_limit() {
    let board = Board::new(2, 10);
    board.add((0..6).map(listed).collect());
    for wanted in board.claim(0, 4).unwrap() {
        board.fill(wanted.place, stored(&wanted.number));
        assert!(matches!(board.take().await, Ok(Next::Fragment(..))));
    }
    let first = board.claim(0, 4).unwrap();
    let second = board.claim(1, 4).unwrap();
    board.read(10);
    board.fill(first[0].place, stored(&first[0].number));
    // Everybody waits for the streaming thread.
    assert_eq!(now(board.room(0, None)).await, None);
    assert_eq!(now(board.room(1, None)).await, None);
    assert!(matches!(board.take().await, Ok(Next::Fragment(..))));
    assert_eq!(now(board.room(1, None)).await, Some(Room::Granted));
    board.read(1000);
    assert_eq!(now(board.room(0, None)).await, None);
    assert_eq!(now(board.room(1, None)).await, Some(Room::Granted));
    board.miss(second[0].place, "gone".to_owned());
    board.drop_bytes(1000);
    assert!(matches!(board.take().await, Ok(Next::Missing(_, reason)) if reason == "gone"));
    assert!(now(board.take()).await.is_none());
}

#[tokio::test]
async fn a_failure_comes_behind_all_that_could_be_had() {
    let board = Board::new(1, 10);
    board.add((0..2).map(listed).collect());
    let wanted = board.claim(0, 4).unwrap();
    board.fail(aws::Error::NoDataEndpoint);
    board.fill(0, stored(&wanted[0].number));
    assert!(matches!(board.take().await, Ok(Next::Fragment(..))));
    assert!(board.take().await.is_err());
}

#[tokio::test]
async fn what_is_given_back_is_dealt_to_who_has_a_connection() {
    let board = Board::new(3, 100);
    let places = |hand: &[Wanted]| hand.iter().map(|wanted| wanted.place).collect::<Vec<_>>();
    board.add((0..20).map(listed).collect());
    board.connect();
    // One other connection can be had.
    for wanted in board.claim(0, 1).unwrap() {
        board.fill(wanted.place, stored(&wanted.number));
        assert!(matches!(board.take().await, Ok(Next::Fragment(..))));
    }
    let first = board.claim(0, 1).unwrap();
    assert_eq!(places(&first), [2, 4, 6, 8, 10, 12, 14, 16, 18]);
    // Somebody else had it: what nobody has is fetched by who can.
    board.give_back(0, first);
    let one = board.claim(0, 0).unwrap();
    assert_eq!(places(&one), (2..20).collect::<Vec<_>>());
    assert!(board.claim(1, 0).is_none());
}

#[tokio::test]
async fn what_is_not_taken_is_not_fetched_further_and_then_only_what_there_is_room_for() {
    let board = Board::new(2, 100);
    board.add((0..30).map(listed).collect());
    board.connect();
    board.connect();
    for wanted in board.claim(0, 0).unwrap() {
        board.fill(wanted.place, stored(&wanted.number));
        assert!(board.take().await.is_ok());
    }
    let mut hands = [board.claim(0, 0).unwrap(), board.claim(1, 0).unwrap()];
    for _ in 0..5 {
        for hand in &mut hands {
            let wanted = hand.remove(0);
            board.read(10);
            board.fill(wanted.place, stored(&wanted.number));
        }
    }
    let recalled = board.recalled(1);
    tokio::select! {
        _ = board.room(0, None) => panic!("there is no room"),
        () = recalled => {}
    }
    let [first, second] = hands;
    board.give_back(0, first);
    // Not before the other lane has done so too.
    for _ in 0..6 {
        assert!(board.claim(0, 0).is_none());
        assert!(board.take().await.is_ok());
    }
    board.give_back(1, second);
    let hands = [board.claim(0, 0).unwrap(), board.claim(1, 0).unwrap()];
    assert_eq!(hands.map(|hand| hand.len()), [3, 3]);
    assert!(board.claim(0, 0).is_none());
}

#[tokio::test]
async fn what_nobody_fetches_calls_all_back() {
    let board = Board::new(2, 100);
    board.add((0..30).map(listed).collect());
    for wanted in board.claim(0, 1).unwrap() {
        board.fill(wanted.place, stored(&wanted.number));
        assert!(board.take().await.is_ok());
    }
    board.connect();
    let hand = board.claim(0, 1).unwrap();
    board.read(100);
    board.fill(hand[0].place, stored(&hand[0].number));
    assert!(board.take().await.is_ok());
    board.read(10);
    // The other lane has got no connection.
    tokio::select! {
        _ = board.room(0, None) => panic!("there is no room"),
        () = board.recalled(0) => {}
    }
    board.give_back(0, hand.into_iter().skip(1));
    let places: Vec<Place> = board.claim(0, 0).unwrap().iter().map(|wanted| wanted.place).collect();
    assert_eq!(places, (3..30).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_the_opening_gives_back_is_fetched() {
    let board = Board::new(3, 10);
    board.add((0..5).map(listed).collect());
    let mut opening = board.claim(0, 4).unwrap();
    board.read(10);
    board.fill(0, stored(&opening.remove(0).number));
    tokio::select! {
        _ = board.room(0, None) => panic!("there is no room"),
        () = board.recalled(0) => {}
    }
    board.give_back(0, opening);
    assert!(board.claim(1, 4).is_none());
    assert!(matches!(board.take().await, Ok(Next::Fragment(..))));
    assert!(board.has_more().await);
    assert_eq!(board.claim(1, 4).unwrap()[0].place, 1);
}

#[tokio::test]
async fn who_has_passed_the_next_fragment_reads_no_more_of_that_body() {
    let board = Board::new(1, 10);
    board.add((0..6).map(listed).collect());
    let mut hand = board.claim(0, 0).unwrap();
    assert_eq!(board.room(0, None).await, Room::Granted);
    board.read(10);
    let second = hand.remove(1);
    board.fill(second.place, stored(&second.number));
    assert_eq!(board.room(0, Some(second.place)).await, Room::Passed);
    // Another body may bring it.
    assert_eq!(board.room(0, None).await, Room::Granted);
    board.drop_bytes(1);
    assert_eq!(board.room(0, Some(second.place)).await, Room::Granted);
}

#[tokio::test]
async fn what_is_listed_ahead_grows_with_what_is_taken() {
    let board = Board::new(1, 1000);
    let take = async |count: u64| {
        for _ in 0..count {
            let first = board.lock().first;
            let number = board.lock().slots[0].listed.number.clone();
            board.fill(first, stored(&number));
            assert!(board.take().await.is_ok());
        }
    };
    assert!(now(board.wants_more()).await.is_some());
    board.add((0..9).map(listed).collect());
    assert!(now(board.wants_more()).await.is_some());
    board.add((9..10).map(listed).collect());
    assert!(now(board.wants_more()).await.is_none());
    // Of each that is taken, 8 more are wanted.
    take(1).await;
    assert!(now(board.wants_more()).await.is_some());
    board.add((10..18).map(listed).collect());
    assert!(now(board.wants_more()).await.is_some());
    board.add((18..19).map(listed).collect());
    assert!(now(board.wants_more()).await.is_none());
    // But never more than so many.
    board.add((19..4000).map(listed).collect());
    take(999).await;
    assert!(now(board.wants_more()).await.is_none());
    take(1).await;
    assert!(now(board.wants_more()).await.is_some());
    board.add((4000..4001).map(listed).collect());
    assert!(now(board.wants_more()).await.is_none());
}

namespace Peft.Synthetic

/// What people plan, lend, lose, tell and answer in the scenes of the dialogues.
[<RequireQualifiedAccess>]
module SceneWords =
    // The answer stands on a line of its own, as the second speaker's turn.
    let private exchanges =
        lazy
            (WordLists.rules "scenes-exchanges"
             |> List.map (fun (key, turns) -> key, turns |> Array.map _.Replace("/", "\n{B}: ")))

    let private minutes = [| for count in 10..5..60 -> Inflect.number count |]

    /// The shared rules and those of the dialogues.
    let rules: Lazy<Rules> =
        lazy
            (Lexicon.rules
             |> Rules.extend (WordLists.rules "scenes" @ exchanges.Value @ [ "minutes", minutes ]))

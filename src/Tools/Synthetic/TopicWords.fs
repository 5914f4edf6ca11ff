namespace Peft.Synthetic

/// The words of the four topics, and what athletes, storms, dishes and musicians do.
[<RequireQualifiedAccess>]
module TopicWords =
    let private sportsRules = WordLists.rules "topic-sports"

    /// What hot weather is, and does.
    let hot: string[] * string[] =
        WordLists.read "topic-weather" "hot sky", WordLists.read "topic-weather" "hot change"

    /// What cold or wet weather is, and does.
    let cold: string[] * string[] =
        WordLists.read "topic-weather" "cold sky", WordLists.read "topic-weather" "cold change"

    let private weatherRules =
        WordLists.rules "topic-weather"
        @ [
            "sky", Array.append (fst hot) (fst cold)
            "change", snd cold



            "degrees", [| 26..38 |] |> Array.map string
        ]

    let private cookingRules = WordLists.rules "topic-cooking"

    let private musicRules = WordLists.rules "topic-music"

    // What each topic's people and storms did, as predicates in the past: the same sentence frames hold all of them.
    let private deeds = WordLists.rules "topic-deeds"

    /// The shared rules with the words of the four topics, for text about other things.
    let rules: Rules =
        Lexicon.rules
        |> Rules.extend (List.concat [ sportsRules; weatherRules; cookingRules; musicRules; deeds ])

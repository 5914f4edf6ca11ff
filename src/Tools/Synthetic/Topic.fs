namespace Peft.Synthetic

open Peft

/// A short news text and its topic. Many texts borrow words of a second topic, so that one keyword does not decide:
/// what happens decides.
[<RequireQualifiedAccess>]
module Topic =
    /// The answers, each as likely as the others.
    let labels: string[] = [| "sports"; "weather"; "cooking"; "music" |]

    /// Clauses of one topic that can hang on a text about another.
    let private asides =
        [
            "sports aside",
            Rules.lines
                """, who {sports deed} in {month},
              , who {sports deed} a year ago,
              , whose {relative} {sports deed},
              , who once played in goal for the {team},
              , a former {athlete},
              , who trains at the {arena} every {day},
              , a lifelong fan of the {team},
              , who had missed the {contest} to be there,
              , whose brother is a(n) {athlete},"""
            "weather aside",
            Rules.lines
                """, who was at home when {weather story},
              , whose flight was late because {weather story},
              , who had driven through a(n) {sky},
              , undeterred by the {sky},
              , still wet from the {sky},
              , who used to work for a weather service,
              , glad of the {calm},
              , who had waited for {calm},"""
            "cooking aside",
            Rules.lines
                """, who {cooking deed} in {month},
              , who {cooking deed} a year ago,
              , whose {relative} {cooking deed},
              , who also runs a bakery,
              , a trained {chef},
              , known for a fine {plate},
              , fresh from a plate of {plate},
              , whose mother is a(n) {chef},
              , who gave up a job as a(n) {chef},"""
            "music aside",
            Rules.lines
                """, who {music deed} in {month},
              , who {music deed} a year ago,
              , whose {relative} {music deed},
              , who plays the {instrument} at weekends,
              , a trained {player},
              , humming a(n) {piece},
              , whose sister is a(n) {player},
              , who once sang at the {stage},
              , better known as a(n) {player},"""
            "sports place",
            Rules.lines
                """outside the {arena}
              on the day of the {contest}
              while the {team} were playing at home
              in front of {few} hundred fans of the {team}"""
            "weather place",
            Rules.lines
                """despite the {sky}
              as a(n) {sky} passed over {town}
              under {calm}
              while the rain beat on the roof"""
            "cooking place",
            Rules.lines
                """behind a shop that sells {plate}
              next to a stall selling {plate}
              while {plate} was being served
              in a tent that smelled of {seasoning}"""
            "music place",
            Rules.lines
                """next to the {stage}
              to the sound of a(n) {piece}
              while a(n) {player} was playing
              after a short {piece} for {instrument}"""
        ]

    let private shared =
        [
            "dull headline",
            Rules.lines
                """News from {town}
              A day to remember in {town}
              Surprise in {town}
              {name} {surname} makes the news
              All eyes on {town}
              {town} talks of nothing else
              What happened on {day}
              Mixed feelings in {country}
              A long night in {town}
              Good news for {country}
              {surname} has the last word
              Nobody saw it coming
              The talk of {town}
              {day} in brief
              A first for {country}
              {surname} under pressure
              Hopes rise in {town}
              Not as planned"""
        ]

    let private headlines =
        [
            "sports headline",
            Rules.lines
                """{team} march on
              {town} {team} beaten at home
              {athlete:cap} eyes the {contest}
              Late drama in the {contest}
              {team} sign a(n) {athlete}
              {surname} wins in {town}
              No goals in {town}
              Gold for {country}"""
            "weather headline",
            Rules.lines
                """{sky:cap} heads for {town}
              {calm:cap} by {day}
              {town} under water
              Warning for the {region}
              {country} shivers
              {degrees} degrees in {town}
              After the {sky}
              {sky:cap} closes the roads"""
            "cooking headline",
            Rules.lines
                """The secret of good {plate}
              {town} falls for {plate}
              More {seasoning}, please
              {chef:cap} shares a recipe
              {surname} opens a kitchen
              {plate:cap} in {few} steps
              What to do with {vegetable:s}
              The return of {plate}"""
            "music headline",
            Rules.lines
                """{player:cap} back on stage
              {piece:cap} divides the critics
              Encore for {surname}
              {town} hears a new {piece}
              Full house for the {player}
              Last notes in {town}
              {instrument:cap} and orchestra
              A(n) {piece} for {country}"""
        ]

    let private bodies =
        [
            "sports body",
            Rules.lines
                """{name} {surname}{aside} {feat} {place}.
              The {athlete}{aside} {feat} in {town}.
              {place:cap}, the {athlete} from {town} {feat}.
              {town} {team} lost the {contest} {place}, and their {athlete} blamed the referee.
              {name} {surname}{aside} will miss the {contest} with a(n) {injury}.
              The {contest} between {town} and {country} was decided when the {athlete}{aside} {feat}.
              A(n) {athlete} of the {team}{aside} {feat}, and the crowd sang until midnight.
              The {team} have sold their {athlete}{aside} to a club in {town}."""
            "weather body",
            Rules.lines
                """A(n) {sky} {change}, said {name} {surname}{named aside} on {day}.
              The {forecaster} in {town} expects {calm} after {day}, {name} {surname}{named aside} reported {place}.
              The {sky} that reached {town} {place} {change}.
              {place:cap}, a(n) {sky} {change}.
              Temperatures in {town} will change by {few} degrees, and a(n) {sky} {change}.
              {name} {surname}{named aside} warned that the {sky} {change}.
              The {region} of {country} can look forward to {calm}, although a(n) {sky} {change}.
              The {sky} started {place} and {change}."""
            "cooking body",
            Rules.lines
                """The {plate} of {name} {surname}{aside} {method}.
              The {chef}{aside} explains why {plate} {method}.
              {name} {surname}{aside} taught {few} beginners to make {plate} {place}.
              {place:cap}, a(n) {chef} from {town} showed how to season {plate} with {seasoning}.
              Melt the butter in a(n) {pan}, add {seasoning}, and the {plate} is ready: so says {name} {surname}{aside} from {town}.
              The {chef} from {country}{aside} says that {plate} {method}.
              A new book by {name} {surname}{aside} holds {few} recipes for {plate}.
              The {plate}, cooked in a(n) {pan} {place}, {method}."""
            "music body",
            Rules.lines
                """The {player}{aside} {act} {place}.
              {name} {surname}{aside} {act} at the {stage} in {town}.
              {place:cap}, a(n) {player} from {town} {act}.
              The new {piece} by {name} {surname}{aside} was heard for the first time {place}.
              A(n) {player} from {country}{aside} {act} on {day}.
              The {piece} for {instrument} and {inst2=instrument} closes with a chorus, which {name} {surname}{aside} wrote {place}.
              The {stage} in {town} was sold out when the {player}{aside} {act}.
              The {group} that {name} {surname}{aside} founded in {town} {act}."""
        ]

    // One sentence for every topic: who did it and what was done tell the topics apart, and both may be borrowed in a
    // clause that does not count.
    let private frames =
        [
            "frame",
            Rules.lines
                """{who}{aside} {deed} {place}.
                {place:cap}, {who}{aside} {deed}.
                Everybody in {town} knows by now that {who}{aside} {deed} {place}.
                {name} {surname} reports that {who}{aside} {deed} {place}.
                According to {name} {surname}{named aside}, {who} {deed} {place}.
                {name} {surname}{named aside} could not believe that {who} {deed}.
                Nobody in {town} was surprised when {who}{aside} {deed}.
                For the first time in {few} years, {who}{aside} {deed} {place}.
                While {other story}, {who} {deed} {place}.
                {who}{aside} {deed} before {other story}.
                It took {few} days until {town} noticed that {who}{aside} {deed}.
                Last {month}, {who}{aside} {deed}, and {town} still speaks of it."""
            "sports who",
            Rules.lines
                """{name} {surname}
                {name} {surname}
                the {athlete}
                a(n) {athlete} from {town}
                the {athlete} of the {team}"""
            "weather who",
            Rules.lines
                """a(n) {sky}
                the {sky}
                the worst {sky} since 1976
                a(n) {sky} from the {region}"""
            "cooking who",
            Rules.lines
                """{name} {surname}
                {name} {surname}
                the {chef}
                a(n) {chef} from {town}"""
            "music who",
            Rules.lines
                """{name} {surname}
                {name} {surname}
                the {player}
                a(n) {player} from {town}"""
            "sports story", [| "{sports who} {sports deed}" |]
            "weather story", [| "{weather who} {weather deed}" |]
            "cooking story", [| "{cooking who} {cooking deed}" |]
            "music story", [| "{music who} {music deed}" |]
        ]

    let private rules =
        lazy
            (TopicWords.rules
             |> Rules.extend (List.concat [ asides; shared; headlines; bodies; frames ]))

    /// Row `index` of the endless stream of a seed.
    let row (seed: int) (index: int) : Example =
        let chance = Chance.ofRow "topic" seed index
        // Every four rows in a row hold the four labels once, in an order of their own.
        let label =
            (Chance.ofRow "topic labels" seed (index / 4)).Shuffle(labels)[index % 4]

        let other = chance.Pick(labels |> Array.filter ((<>) label))
        let third = chance.Pick(labels |> Array.filter ((<>) label))

        let plainPlaces =
            [|
                "on {day}"
                "in {town}"
                "on {day} evening"
                "last week"
                "in front of a small crowd"
                "near {town}"
            |]

        // Half of the asides and a third of the places are another topic's; the headline seldom gives the topic away.
        let borrowed (kind: string) (topic: string) (odds: float) (plain: string[]) =
            if chance.Odds odds then
                [| $"{{{topic} {kind}}}" |]
            else
                plain

        let season =
            if label = "weather" then
                let skies, changes = if chance.Odds 0.3 then TopicWords.hot else TopicWords.cold
                [ "sky", skies; "change", changes ]
            else
                []

        // A storm is not a person: clauses with "who" can only follow a name.
        let aside = borrowed "aside" other 0.5 [| "" |]

        let rules =
            rules.Value
            |> Rules.extend season
            |> Rules.extend
                [
                    "named aside", aside
                    "aside", (if label = "weather" then [| "" |] else aside)
                    "place", borrowed "place" third 0.35 plainPlaces
                    "who", [| $"{{{label} who}}" |]
                    "deed", [| $"{{{label} deed}}" |]
                    "other story", [| $"{{{other} story}}" |]
                ]

        let headline =
            if chance.Odds 0.3 then
                $"{{{label} headline}}"
            else
                "{dull headline}"

        let body = if chance.Odds 0.75 then "{frame}" else $"{{{label} body}}"

        {
            // An aside brings its own closing comma.
            Input = (Template.expand rules [] chance $"{headline}. {body}").Replace(",,", ",")
            Target = label
        }

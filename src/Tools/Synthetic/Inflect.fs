namespace Peft.Synthetic

open System
open System.Collections.Generic
open System.Text

/// The forms of English words: plurals, verb forms, articles, capitals.
[<RequireQualifiedAccess>]
module Inflect =
    let private table (text: string) : IReadOnlyDictionary<string, string[]> =
        let rows =
            text.Split([| ' '; '\n' |], StringSplitOptions.RemoveEmptyEntries)
            |> Array.map (fun row -> row.Split '/')

        dict [ for row in rows -> row[0], row ] |> Dictionary :> IReadOnlyDictionary<_, _>

    let private nouns =
        table
            """man/men woman/women child/children foot/feet tooth/teeth goose/geese mouse/mice person/people
            fisherman/fishermen policeman/policemen sheep/sheep deer/deer fish/fish leaf/leaves loaf/loaves knife/knives
            wolf/wolves shelf/shelves calf/calves half/halves thief/thieves scarf/scarves potato/potatoes
            tomato/tomatoes hero/heroes mango/mangoes echo/echoes ox/oxen trout/trout salmon/salmon postman/postmen
            wife/wives life/lives quiz/quizzes bison/bison moose/moose squid/squid snowman/snowmen"""

    // base / third person / past / past participle
    let private verbs =
        table
            """be/is/was/been have/has/had/had do/does/did/done go/goes/went/gone see/sees/saw/seen eat/eats/ate/eaten
            drink/drinks/drank/drunk take/takes/took/taken give/gives/gave/given make/makes/made/made
            come/comes/came/come become/becomes/became/become run/runs/ran/run swim/swims/swam/swum
            sing/sings/sang/sung ring/rings/rang/rung begin/begins/began/begun write/writes/wrote/written
            ride/rides/rode/ridden drive/drives/drove/driven rise/rises/rose/risen choose/chooses/chose/chosen
            break/breaks/broke/broken speak/speaks/spoke/spoken steal/steals/stole/stolen wake/wakes/woke/woken
            wear/wears/wore/worn tear/tears/tore/torn draw/draws/drew/drawn grow/grows/grew/grown
            know/knows/knew/known throw/throws/threw/thrown fly/flies/flew/flown blow/blows/blew/blown
            fall/falls/fell/fallen hide/hides/hid/hidden bite/bites/bit/bitten shake/shakes/shook/shaken
            forget/forgets/forgot/forgotten buy/buys/bought/bought bring/brings/brought/brought
            catch/catches/caught/caught teach/teaches/taught/taught think/thinks/thought/thought
            fight/fights/fought/fought sell/sells/sold/sold tell/tells/told/told find/finds/found/found
            hold/holds/held/held keep/keeps/kept/kept leave/leaves/left/left lose/loses/lost/lost
            meet/meets/met/met read/reads/read/read say/says/said/said send/sends/sent/sent build/builds/built/built
            lend/lends/lent/lent spend/spends/spent/spent sit/sits/sat/sat stand/stands/stood/stood
            sleep/sleeps/slept/slept feel/feels/felt/felt win/wins/won/won hear/hears/heard/heard
            feed/feeds/fed/fed lead/leads/led/led sweep/sweeps/swept/swept hang/hangs/hung/hung dig/digs/dug/dug
            put/puts/put/put cut/cuts/cut/cut hit/hits/hit/hit set/sets/set/set let/lets/let/let beat/beats/beat/beaten
            shut/shuts/shut/shut hurt/hurts/hurt/hurt pay/pays/paid/paid understand/understands/understood/understood
            get/gets/got/got shine/shines/shone/shone freeze/freezes/froze/frozen spread/spreads/spread/spread
            lay/lays/laid/laid bend/bends/bent/bent mean/means/meant/meant stick/sticks/stuck/stuck
            kneel/kneels/knelt/knelt sew/sews/sewed/sewn oversleep/oversleeps/overslept/overslept"""

    let private doubling =
        HashSet(
            "stop plan chop drop hug clap shop pat tap grab skip slip trip plug wrap rob jog stir scrub nod beg chat
             hum knit mop rub trim zip swim run sit get put cut hit set let shut dig win begin forget spin strum pin
             drag fit spot step swap unwrap shrug grin travel label"
                .Split([| ' '; '\n' |], StringSplitOptions.RemoveEmptyEntries)
        )

    let private isVowel (letter: char) = "aeiou".Contains letter

    let private sibilant (word: string) =
        [ "s"; "x"; "z"; "ch"; "sh" ] |> List.exists (word.EndsWith: string -> bool)

    let private endsInConsonantY (word: string) =
        word.Length > 1 && word.EndsWith 'y' && not (isVowel word[word.Length - 2])

    let private withS (word: string) =
        if endsInConsonantY word then
            word.Substring(0, word.Length - 1) + "ies"
        elif sibilant word then
            word + "es"
        else
            word + "s"

    let private onLastWord (change: string -> string) (phrase: string) =
        let at = phrase.LastIndexOf ' ' + 1
        phrase.Substring(0, at) + change (phrase.Substring at)

    let private onFirstWord (change: string -> string) (phrase: string) =
        match phrase.IndexOf ' ' with
        | -1 -> change phrase
        | at -> change (phrase.Substring(0, at)) + phrase.Substring at

    let private verbForm (place: int) (regular: string -> string) =
        onFirstWord (fun verb ->
            match verbs.TryGetValue verb with
            | true, forms -> forms[place]
            | _ -> regular verb)

    let private regularPast (verb: string) =
        if verb.EndsWith 'e' then
            verb + "d"
        elif endsInConsonantY verb then
            verb.Substring(0, verb.Length - 1) + "ied"
        elif doubling.Contains verb then
            verb + string verb[verb.Length - 1] + "ed"
        else
            verb + "ed"

    /// The plural of a noun phrase whose last word is the noun.
    let plural: string -> string =
        onLastWord (fun noun ->
            match nouns.TryGetValue noun with
            | true, forms -> forms[1]
            | _ -> withS noun)

    /// The third person singular of a verb phrase whose first word is the verb: `walk home` gives `walks home`.
    let third: string -> string =
        verbForm 1 (fun verb -> if verb.EndsWith 'o' then verb + "es" else withS verb)

    /// The past tense of a verb phrase.
    let past: string -> string = verbForm 2 regularPast

    /// The past participle of a verb phrase.
    let participle: string -> string = verbForm 3 regularPast

    /// The -ing form of a verb phrase.
    let ing: string -> string =
        onFirstWord (fun verb ->
            if verb.EndsWith "ie" then
                verb.Substring(0, verb.Length - 2) + "ying"
            elif verb.EndsWith 'e' && not (verb.EndsWith "ee") && verb <> "be" then
                verb.Substring(0, verb.Length - 1) + "ing"
            elif doubling.Contains verb then
                verb + string verb[verb.Length - 1] + "ing"
            else
                verb + "ing")

    /// True where the past tense and the participle of a verb phrase differ: `wrote`, `written`.
    let isIrregular (phrase: string) : bool = past phrase <> participle phrase

    let private startsWithAny (starts: string list) (word: string) =
        starts
        |> List.exists (fun (start: string) -> word.StartsWith(start, StringComparison.Ordinal))

    /// `a` or `an`, by the sound that `word` begins with.
    let article (word: string) : string =
        let lower = word.ToLowerInvariant().TrimStart('"', '\'', '(')

        if lower |> startsWithAny [ "hour"; "honest"; "honour"; "heir"; "8"; "11"; "18" ] then
            "an"
        elif lower |> startsWithAny [ "uni"; "use"; "euro"; "one"; "ukulele"; "usual" ] then
            if lower |> startsWithAny [ "unin"; "unim" ] then
                "an"
            else
                "a"
        elif lower <> "" && isVowel lower[0] then
            "an"
        else
            "a"

    /// The text with a capital first letter.
    let capital (text: string) : string =
        if text = "" then
            text
        else
            string (Char.ToUpperInvariant text[0]) + text.Substring 1

    /// The text with a small first letter.
    let small (text: string) : string =
        if text = "" then
            text
        else
            string (Char.ToLowerInvariant text[0]) + text.Substring 1

    /// A list in words: `one`, `one and two`, `one, two and three`.
    let series (items: string list) : string =
        match List.rev items with
        | [] -> ""
        | [ only ] -> only
        | last :: before -> String.Join(", ", List.rev before) + " and " + last

    let private numbers =
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
         seventeen eighteen nineteen"
            .Split([| ' '; '\n' |], StringSplitOptions.RemoveEmptyEntries)

    let private tens =
        "- - twenty thirty forty fifty sixty seventy eighty ninety".Split ' '

    /// A whole number below a million in words: `forty-two`, `three hundred and five`.
    let rec number (value: int) : string =
        if value < 20 then
            numbers[value]
        elif value < 100 then
            if value % 10 = 0 then
                tens[value / 10]
            else
                $"{tens[value / 10]}-{numbers[value % 10]}"
        elif value < 1000 then
            let hundreds = $"{numbers[value / 100]} hundred"

            if value % 100 = 0 then
                hundreds
            else
                $"{hundreds} and {number (value % 100)}"
        else
            let thousands = $"{number (value / 1000)} thousand"

            match value % 1000 with
            | 0 -> thousands
            | rest when rest < 100 -> $"{thousands} and {number rest}"
            | rest -> $"{thousands} {number rest}"

    /// Settles `a(n)` by the word that follows, and gives every sentence a capital.
    let finish (text: string) : string =
        let result = StringBuilder()
        let mutable at = 0

        while at < text.Length do
            match text.IndexOf("a(n) ", at, StringComparison.OrdinalIgnoreCase) with
            | -1 ->
                result.Append(text, at, text.Length - at) |> ignore
                at <- text.Length
            | found ->
                result.Append(text, at, found - at).Append(article (text.Substring(found + 5))).Append ' '
                |> ignore

                at <- found + 5

        let mutable start = true

        for place in 0 .. result.Length - 1 do
            let letter = result[place]

            if start && Char.IsLetterOrDigit letter then
                result[place] <- Char.ToUpperInvariant letter
                start <- false
            elif
                letter = '\n'
                || ((letter = '.' || letter = '?' || letter = '!')
                    && place + 1 < result.Length
                    && result[place + 1] = ' ')
            then
                start <- true

        result.ToString()

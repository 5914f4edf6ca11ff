namespace Peft.Synthetic

open Peft

/// A character of a text: a name with the pronouns that go with it.
type Character =
    {
        Name: string
        She: string
        Her: string
        Hers: string
        Herself: string
    }

[<RequireQualifiedAccess>]
module Character =
    /// `count` characters with different names and different initials, where that can be had.
    let cast (count: int) (chance: Chance) : Character list =
        let rec add (chosen: Character list) =
            if chosen.Length = count then
                List.rev chosen
            else
                let isGirl = chance.Odds 0.5
                let name = chance.Pick(if isGirl then Lexicon.girls else Lexicon.boys)

                if chosen |> List.exists (fun other -> other.Name[0] = name[0]) then
                    add chosen
                elif isGirl then
                    add (
                        {
                            Name = name
                            She = "she"
                            Her = "her"
                            Hers = "her"
                            Herself = "herself"
                        }
                        :: chosen
                    )
                else
                    add (
                        {
                            Name = name
                            She = "he"
                            Her = "him"
                            Hers = "his"
                            Herself = "himself"
                        }
                        :: chosen
                    )

        add []

    /// The bindings `{A}`, `{A.she}`, `{A.her}`, `{A.hers}` (his, her), `{A.self}` for the first character, `{B}` …
    /// for the second, and so on.
    let bindings (characters: Character list) : (string * string) list =
        characters
        |> List.mapi (fun place character ->
            let key = string (char (int 'A' + place))

            [
                key, character.Name
                key + ".she", character.She
                key + ".her", character.Her
                key + ".hers", character.Hers
                key + ".self", character.Herself
            ])
        |> List.concat

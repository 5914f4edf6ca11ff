namespace Peft.Synthetic

open Peft
open System

/// Short chats between two friends and one sentence on what matters in them. Greetings and small talk surround the
/// matter; the summary leaves them out.
[<RequireQualifiedAccess>]
module Dialogue =
    let private line (text: string) =
        match text.IndexOf ": " with
        | -1 -> text
        | at -> text.Substring(0, at + 2) + Inflect.capital (text.Substring(at + 2).Trim())

    let private turnsOf (chance: Chance) (scene: Scene) : string list =
        let core =
            scene.Turns
            |> List.choose (fun turn ->
                if not (turn.StartsWith '?') then Some turn
                elif chance.Odds 0.5 then Some(turn.Substring 1)
                else None)

        let room = 7 - core.Length

        let exchange slot isWanted =
            if isWanted then [ $"A: {slot}" ] else []

        let greeting = exchange "{greeting}" (chance.Odds 0.5)
        let chat = exchange "{chat}" (chance.Odds 0.5)
        let last = (List.last core)[0]

        let ending =
            if last = 'A' then
                [ "B: {bye}"; "A: {bye back}" ]
            else
                [ "A: {bye}"; "B: {bye back}" ]
        // An exchange is two turns.
        let before = (greeting @ chat) |> List.truncate (room / 2)
        let left = room - 2 * before.Length

        let after =
            if chance.Odds 0.4 || core.Length + before.Length < 3 then
                ending |> List.truncate (min left (chance.Between(1, 2)))
            else
                []

        before @ core @ after

    /// Row `index` of the endless stream of a seed.
    let row (seed: int) (index: int) : Example =
        let chance = Chance.ofRow "dialogue" seed index
        let scene = chance.Pick Scenes.all.Value
        let asked, favour = chance.Pick Scenes.favours
        let rescue, rescued = chance.Pick Scenes.rescues
        let cast = Character.cast 3 chance

        let dialogue =
            String.Join(
                '\n',
                turnsOf chance scene
                |> List.map (fun turn -> $"{{{turn[0]}}}" + turn.Substring 1)
            )

        let both =
            (dialogue + "\t" + chance.Pick scene.Summaries)
                .Replace("{favour}", asked)
                .Replace("{favour:help}", favour)
                .Replace("{helpme}", rescue)
                .Replace("{helpme:help}", rescued)
            |> Template.expandKeeping SceneWords.rules.Value (Character.bindings cast) chance

        // A duty is told in the first person ("visit my aunt"): its owner is the one who declines.
        let owner =
            if scene.Turns.Head.Contains "{listen}" then
                cast[0]
            else
                cast[1]

        let parts = both.Split '\t'

        {
            Input = String.Join('\n', parts[0].Split '\n' |> Array.map line)
            Target = Inflect.capital (parts[1].Replace(" my ", $" {owner.Hers} "))
        }

    let task: SyntheticTask =
        {
            Name = "dialogue"
            Columns = "dialogue", "summary"
            Labels = [||]
            Row = row
        }

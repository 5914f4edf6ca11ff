namespace Peft.Synthetic

open Peft

/// A short notice in which one detail is asked for; another of its kind stands beside it.
[<RequireQualifiedAccess>]
module Extraction =
    /// A notice with its slots, and what can be asked with the slot that answers.
    let private notices: (string * (string * string)[])[] =
        let who, seller, buyer = "{A}", "{A}", "{B}"

        [|
            "{A}, a(n) {work=job} from {home=town}, moved to {now=town} in {since=month} to be near {A.hers} {kin=relative}.",
            [|
                "where from", "{home}"
                "where to", "{now}"
                "who", who
                "occupation", "{work}"
                "month", "{since}"
            |]
            "For sale: a(n) {tint=colour} {thing}, {few=few} pounds, or a(n) {other=thing} for {most=few} pounds. Ask {A} {surname=surname} in {where=town}, not before {hour=clock}.",
            [|
                "price of the {thing}", "{few}"
                "price of the {other}", "{most}"
                "town", "{where}"
                "hour", "{hour}"
                "colour", "{tint}"
            |]
            "The {ride=vehicle} to {to=town} leaves at {leaves=clock}, the one to {back=town} at {later=clock}, both from the {stop=venue}.",
            [|
                "when to {to}", "{leaves}"
                "when to {back}", "{later}"
                "vehicle", "{ride}"
                "from where", "{stop}"
            |]
            "{A} lost a(n) {tint=colour} {thing} near the {where=venue} on {lost=day}; {B} found it in the {found=venue} on {then=day}.",
            [|
                "where lost", "{where}"
                "where found", "{found}"
                "day of the loss", "{lost}"
                "finder", buyer
                "owner", seller
            |]
            "{A} {surname=surname} is looking for a(n) {work=job} who can start in {start=month}. Letters go to {B} in {where=town} before the end of {end=month}.",
            [|
                "occupation", "{work}"
                "month of the start", "{start}"
                "last month for letters", "{end}"
                "town", "{where}"
                "who gets the letters", buyer
            |]
            "On {first=day} {A} met the {one=person} in the {where=venue}, and on {second=day} the {two=person} in {town=town}.",
            [|
                "whom on {first}", "{one}"
                "whom on {second}", "{two}"
                "where on {first}", "{where}"
                "where on {second}", "{town}"
            |]
            "{A} paid {few=few} pounds for the {thing} and sold it to {B} for {most=few} pounds in {sold=month}.",
            [|
                "first price", "{few}"
                "second price", "{most}"
                "seller", seller
                "buyer", buyer
                "month", "{sold}"
            |]
            "The {trait=trait} {work=job} keeps {few=few} {one=animal:s} and {most=few} {two=bird:s} behind the {where=venue}.",
            [|
                "how many {one:s}", "{few}"
                "how many {two:s}", "{most}"
                "where", "{where}"
                "occupation", "{work}"
            |]
        |]

    let private row (seed: int) (index: int) : Example =
        let chance = Chance.ofRow "extraction" seed index
        let notice, asked = chance.Pick notices
        let question, answer = chance.Pick asked

        let text =
            Template.expandKeeping
                Lexicon.rules
                (Character.bindings (Character.cast 2 chance))
                chance
                $"{notice}\t{question}\t{answer}"

        let parts = text.Split '\t'

        {
            Input = $"{Inflect.capital parts[0]}\nAsked for: {Inflect.small parts[1]}"
            Target = parts[2]
        }

    let task: SyntheticTask =
        {
            Name = "extraction"
            Columns = "text", "answer"
            Labels = [||]
            Row = row
        }

namespace Peft.Synthetic

/// The words of the four topics, and what athletes, storms, dishes and musicians do.
[<RequireQualifiedAccess>]
module TopicWords =
    let private sportsRules =
        [
            "team",
            Rules.words
                """Rovers Wanderers Tigers Eagles Falcons Lions Rangers Wolves Bears Comets Dragons Foxes Hawks Kings
              Pirates Royals Sharks Stags"""
            "athlete",
            Rules.words
                """striker goalkeeper defender midfielder sprinter hurdler swimmer cyclist rower boxer wrestler fencer skier skater
              gymnast archer bowler batsman golfer jockey captain substitute winger marathon_runner diver climber
              tennis_player high_jumper javelin_thrower weightlifter"""
            "contest",
            Rules.words
                """final semi-final quarter-final league_match cup_tie derby friendly relay marathon sprint tournament championship
              regatta play-off replay decathlon triathlon qualifier test_match grand_prix"""
            "arena",
            Rules.words
                "stadium pitch court velodrome race_track ring rink gymnasium golf_course running_track arena swimming_pool"
            "injury",
            Rules.words
                "sprained_ankle torn_muscle broken_finger sore_knee strained_back bruised_shoulder twisted_wrist"
            "feat",
            Rules.lines
                """scored twice in the second half
              saved a late penalty
              set a new national record
              won by a single point
              missed a penalty
              came from behind to win
              was sent off after a foul
              took the lead on the last lap
              lost in straight sets
              scored in extra time
              finished two seconds ahead of the field
              cleared two metres at the first attempt
              threw the ball away in the closing minutes
              won the bronze medal
              was disqualified for a false start
              equalised just before half-time
              kept a clean sheet
              hit the post three times
              retired from the race with a(n) {injury}
              beat the champion on points"""
        ]

    /// What hot weather is, and does.
    let hot: string[] * string[] =
        Rules.words "heatwave drought sandstorm warm_spell dry_spell hot_wind run_of_sunny_days desert_wind",
        Rules.lines
            """pushed the temperature above {degrees} degrees
            has dried out the reservoirs
            is expected to last until {day}
            broke a record that had stood since 1976
            will give way to {calm}
            drove {few} thousand people to the beaches of {country}
            is moving slowly towards the {region}
            has turned the fields of the {region} brown
            should end on {day}"""

    /// What cold or wet weather is, and does.
    let cold: string[] * string[] =
        Rules.words
            """thunderstorm hailstorm blizzard cold_front downpour gale hurricane tornado snowstorm bank_of_fog shower_of_sleet
            night_of_drizzle ground_frost band_of_rain sea_mist cloudburst ice_storm low-pressure_system""",
        Rules.lines
            """will bring heavy showers to the {region}
            will clear by the evening
            should ease before dawn
            is moving slowly towards the {region}
            left {few} villages without power
            caused delays on the low-lying roads
            kept the ferries of {town} in port
            is expected to last until {day}
            drifted in from the sea overnight
            caught many people without umbrellas
            will give way to {calm}
            sent the thermometer below zero
            broke a record that had stood since 1976
            soaked the {region} for {few} days"""

    let private weatherRules =
        [
            "sky", Array.append (fst hot) (fst cold)
            "change", snd cold
            "calm",
            Rules.words "sunshine clear_skies light_winds mild_air scattered_clouds gentle_breezes sunny_intervals"
            "forecaster",
            Rules.words
                "forecaster meteorologist weather_service climate_expert weather_station met_office storm_watcher"
            "region",
            Rules.words "coast north south valley mountains islands plains lowlands hills west east moors lake_district"
            "degrees", [| 26..38 |] |> Array.map string
        ]

    let private cookingRules =
        [
            "chef",
            Rules.words
                """chef baker cook pastry_chef butcher caterer restaurant_owner food_writer cheesemaker kitchen_apprentice
              sous-chef grill_master confectioner chocolate_maker head_cook"""
            "plate",
            Rules.words
                """risotto lasagne goulash paella ratatouille shepherd's_pie onion_soup lentil_curry fish_stew apple_tart
              cheesecake lemon_sponge sourdough_loaf mushroom_omelette roast_lamb pumpkin_soup rice_pudding potato_gratin
              vegetable_broth ginger_biscuits plum_crumble stuffed_peppers bean_chilli garlic_bread beef_casserole
              noodle_salad cinnamon_buns chicken_pie"""
            "seasoning",
            Rules.words
                "garlic ginger nutmeg thyme rosemary saffron basil cinnamon paprika mustard parsley cumin vanilla vinegar butter honey"
            "pan",
            Rules.words "oven frying_pan saucepan casserole wok grill mixing_bowl baking_tray pressure_cooker stove"
            "method",
            Rules.lines
                """simmers for {few} hours with {seasoning}
              tastes best with fresh {seasoning}
              needs nothing but {seasoning} and patience
              is baked slowly in a hot oven
              should be stirred all the time
              is fried in butter until golden
              goes well with roasted {vegetable:s}
              burned because the oven was too hot
              is served with a(n) {seasoning} sauce
              rises twice before it is baked
              is made with {few} eggs and a pinch of salt
              has too much {seasoning}, critics say
              can be prepared in {few} minutes
              is back on the menu in {town}
              uses up leftover {vegetable:s}
              took first prize for its crust"""
        ]

    let private musicRules =
        [
            "player",
            Rules.words
                """pianist violinist cellist drummer guitarist singer tenor soprano conductor composer songwriter trumpeter harpist
              organist flautist rapper folk_singer bass_player choirmaster jazz_trio string_quartet brass_band youth_choir
              rock_band orchestra"""
            "group",
            Rules.words
                "jazz_trio string_quartet brass_band youth_choir rock_band orchestra folk_duo wind_ensemble gospel_choir"
            "piece",
            Rules.words
                """symphony sonata concerto ballad opera waltz album single lullaby overture song_cycle requiem serenade hymn
              string_quartet love_song musical film_score debut_album march"""
            "stage",
            Rules.words
                "concert_hall opera_house jazz_club festival_stage recording_studio bandstand chapel ballroom music_school"
            "act",
            Rules.lines
                """played {few} encores
              recorded a(n) {piece} in {few} days
              forgot the words of the second verse
              sang without a microphone
              tuned up for {few} minutes before the first note
              released a(n) {piece} about {town}
              will tour {few} countries
              topped the charts with a(n) {piece}
              performed a forgotten {piece}
              broke a string in the slow movement
              received a standing ovation
              swapped the {instrument} for the {inst2=instrument}
              came in a bar too early
              wrote a(n) {piece} for the town's anniversary
              moved the audience to tears with a(n) {piece}
              cancelled the second half because of a sore throat
              rehearsed the chorus all night
              filled the {stage} with soft harmonies"""
        ]

    // What each topic's people and storms did, as predicates in the past: the same sentence frames hold all of them.
    let private deeds =
        [
            "sports deed",
            Rules.lines
                """{feat}
                broke the record of the {contest}
                was carried off with a(n) {injury}
                left the {team} for {country}
                signed for the {team}
                won the {contest}
                lost the {contest} by {few} points
                dropped out of the {contest}
                trained at the {arena} until midnight
                was booed by the fans of the {team}
                beat a(n) {athlete} from {country}
                was named {athlete} of the year
                became captain of the {team}
                returned after a(n) {injury}
                ran, jumped and threw better than ever
                argued with the referee
                reached the last round of the {contest}"""
            "weather deed",
            Rules.lines
                """{change past}
                surprised the {region}
                reached {town} before dawn
                turned towards {country}
                lost its strength over the {region}
                was stronger than the {forecaster} had said
                put an end to the {calm}
                stayed away from the {region}
                kept {town} awake
                passed over {country} in {few} hours
                arrived earlier than in other years
                gave way to {calm}
                covered the {region}
                came back after {few} quiet days"""
            "cooking deed",
            Rules.lines
                """baked {few} trays of {plate}
                burned the {plate}
                seasoned the {plate} with {seasoning}
                forgot the {seasoning} in the {plate}
                opened a kitchen in {town}
                served {plate} to {few} hundred guests
                replaced the {seasoning} with {seas2=seasoning}
                won a prize for {plate}
                revealed the recipe for {plate}
                stirred the {plate} for {few} hours
                dropped the {pan} on the floor
                took {plate} off the menu
                turned old {vegetable:s} into {plate}
                peeled {few} hundred {vegetable:s}
                tasted {few} kinds of {plate}
                wrote a book about {seasoning}
                showed children how to make {plate}
                let the dough rest for {few} hours
                fried {few} {vegetable:s} in {seasoning} butter"""
            "music deed",
            Rules.lines
                """{act}
                wrote a(n) {piece}
                sang {few} verses of a(n) {piece}
                gave a lesson on the {instrument}
                lost the notes of the {piece}
                played the {piece} too fast
                opened the season with a(n) {piece}
                learned the {instrument} in {few} months
                shared the stage with a(n) {player}
                dedicated the {piece} to {country}
                practised the {piece} until midnight
                joined the {group}
                left the {group}
                missed the rehearsal of the {group}
                bought a(n) {instrument} for the {group}
                applauded after the first movement"""
            "change past",
            Rules.lines
                """brought heavy showers to the {region}
                cleared by the evening
                eased before dawn
                left {few} villages without power
                caused delays on the low-lying roads
                kept the ferries of {town} in port
                drifted in from the sea overnight
                caught many people without umbrellas
                broke a record that had stood since 1976"""
        ]

    /// The shared rules with the words of the four topics, for text about other things.
    let rules: Rules =
        Lexicon.rules
        |> Rules.extend (List.concat [ sportsRules; weatherRules; cookingRules; musicRules; deeds ])

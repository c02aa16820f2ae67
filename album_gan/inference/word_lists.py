"""The words of readable names, frozen: a changed or moved word would rename covers that people have shared.

They are fit for a public stage in every combination: no bodies, beliefs, nations, politics, violence or
drugs, and no adjective that judges a person on a cover. No word is in both lists.
"""

ADJECTIVES = """
agile airy alpine amber amiable ample arctic astral azure balmy blissful blithe bold brave breezy bright
brisk bustling calm carefree caring cheerful cheery chilly chirpy classic clear clever cloudy coastal cobalt
colorful comfy copper cordial cosmic cosy crimson crisp curious dainty daring dashing dazzling dewy diligent
distant dotted dreamy drifting dusty dynamic eager early earthy eclectic elastic electric elegant eloquent
emerald eminent enchanted endless epic eternal exact fanciful fancy fearless feathery festive fleet floating
floral fluent flying foggy folksy fresh friendly frosty gallant generous gentle genuine gifted gilded glacial
glad gleaming glossy glowing golden graceful gracious grand grateful gusty happy harmonic hazy honest hopeful
humming icy ideal indigo inland inventive jaunty jazzy jolly joyful joyous jubilant keen kindly lavender
leafy lilac linen lively lofty loyal lucid lucky luminous lunar lush lyrical magenta majestic mellow melodic
merry mighty mild misty modern modest mossy musical neat nimble noble oceanic orderly ornate outdoor pastel
patient peaceful pensive placid playful pleasant plucky poetic poised polar pristine purple quaint quick
quiet quilted quirky radiant rapid regal rhythmic robust rolling rosy rugged rural rustic sandy sapphire
satin scarlet scenic serene shiny silent silken silver sincere smiling snowy snug solar solid sonic soothing
sparkling speedy spirited splendid starry stately steadfast steady stellar stormy striped stylish sublime
subtle sunlit sunny superb swift sylvan teal tidal tidy timeless tranquil trusty tuneful turquoise twinkling
undaunted unique upbeat valiant velvet verdant vernal vibrant vintage violet vital vivid watchful whimsical
windy winged wintry wise wistful witty wondrous woodland woolen woven zesty zippy
""".split()  # noqa: SIM905

NOUNS = """
abacus agate alder almanac almond alpaca anchor antelope anvil apple arcade archway aspen atlas atoll attic
aurora autumn bakery balcony ballad balloon bamboo banjo baobab barley basil bassoon bay beacon bee beetle
beryl bicycle biscuit bison blanket blossom bobbin bonnet boulder breeze brick bridge brook butterfly button
cabin cactus camera campfire canoe canopy canvas canyon caravan caribou carousel cassette castle cedar celery
cello chalet chapter chimney chord chorus cicada cinema cinnamon clarinet cliff clock cloud clover coast
cobble comet compass concert coral cottage cove crane crater crayon creek cricket crocus cushion cypress
daffodil dawn dewdrop dolphin domino dove dragonfly drizzle drum duet dune dynamo easel echo eclipse elm
ember encore engine envelope equinox evening fable falcon feather fern festival finch firefly fjord flamingo
fog forest fountain fresco frost galaxy galleon gallery garden garland garnet gazebo gazelle gear gecko
giraffe glacier glade glider globe goblet granite grove guitar gull haiku hammock harbor hare harmony harp
harvest hazel heather hedgehog heron holly horizon ibex ibis icicle igloo island ivy jacket jade jaguar
jasmine juniper kayak kazoo kettle key kite koala labyrinth ladder ladle ladybug lagoon lake lamp lantern
larch lark latch lemon lemur letter lever library lily linden lizard llama locket lute lynx lyre magnet
magnolia magpie mandolin mango maple marble marigold marimba marmot marsh meadow meerkat melody meteor mink
minuet mirror mitten monsoon moonbeam moose morning mosaic moss moth museum nebula oasis oboe ocean ocelot
octave octopus olive onyx opal orbit orchard orchid origami osprey otter overture owl paddle palette pancake
panda paprika parasol parrot parsley pavilion pear pebble pelican pencil penguin peony petunia piano piccolo
pillow pinecone pinwheel planet plateau plaza plover poem polka pond poplar portrait postcard prairie pretzel
prism puffin pulley pulsar puma puzzle quail quartet quartz quasar quill radio raindrop raven reed reef
refrain reindeer rhyme ribbon riddle ridge ripple river robin robot rosemary rowan ruby saffron sail sailboat
samba sandal satchel saucer savanna scarf schooner scooter seal seashell sequoia serenade shore signal skate
slate sled slipper solstice sonata sonnet sorbet sparrow spiral spool spring spruce starlight starling statue
stream summer summit sunbeam sunrise sunset surf symphony tango tapestry teacup teapot telescope tempo
theater thimble thistle thunder thyme tide tiger tile timber toffee topaz toucan trail tram treasure treble
tripod tulip tundra turntable turtle ukulele umbrella valley vase viola violin voyage waffle wagon waltz
waterfall wave whisk whistle willow windmill window winter wolf wombat wren zebra zephyr
""".split()  # noqa: SIM905
